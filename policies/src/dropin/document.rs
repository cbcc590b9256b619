//! `docs/vault-k8s.md`, made from the tables that drive the parser.
//!
//! Out of scope: how to move a cluster over (docs/guides/from-vault-k8s.md, written by hand).

use std::fmt::Write as _;

use super::SETTINGS;
use super::table::{ANNOTATIONS, Annotation, Form, Group, Verdict};

/// The document's place in the repository.
pub const DOCUMENT_PATH: &str = "docs/vault-k8s.md";

/// The whole document.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for group in Group::ALL {
        // Writing into a String cannot fail.
        let _ = write!(text, "\n## {}\n\n| name | value | default | here | |\n|---|---|---|---|---|\n", group.title());
        for entry in ANNOTATIONS.iter().filter(|entry| entry.group == group) {
            text.push_str(&row(entry));
        }
    }
    text.push_str(SETTINGS_HEAD);
    for setting in SETTINGS {
        let flag = if setting.flag.is_empty() { String::new() } else { format!("`-{}`", setting.flag) };
        let meaning = if setting.meaning.is_empty() { "passed over: vault-k8s' own server" } else { setting.meaning };
        let _ = writeln!(text, "| `{}` | {flag} | {} | {meaning} |", setting.name, setting.default);
    }
    text.push_str(TAIL);
    text
}

fn row(entry: &Annotation) -> String {
    let name = match entry.form {
        Form::Single => entry.name.to_owned(),
        Form::Family => format!("{}NAME", entry.name),
    };
    let default = match (entry.default, entry.setting) {
        (default, "") => default.to_owned(),
        ("", setting) => format!("setting `{setting}`"),
        (default, setting) => format!("{default}, or setting `{setting}`"),
    };
    let difference = match (entry.verdict, entry.difference) {
        (Verdict::Works, "") => String::new(),
        (Verdict::Works, difference) => format!("Different: {difference}."),
        (Verdict::Inert, "") => "**No effect.**".to_owned(),
        (Verdict::Inert, difference) => format!("**No effect**: {difference}."),
        (Verdict::Refused, difference) => format!("**Refused**: {difference}."),
    };
    format!("| `{name}` | {} | {default} | {} | {difference} |\n", entry.kind.words(), entry.meaning)
}

const HEAD: &str = "\
# The annotations of vault-k8s

<!-- Made from policies/src/dropin/table.rs; a test says when it is not current, and how to make it. -->

Pods that carry `vault.hashicorp.com/*` or `openbao.org/*` annotations work here unchanged. Both prefixes mean the same, nothing is
rewritten on the pod, and one name under both prefixes with different values is refused. How to move a cluster over stands in
[guides/from-vault-k8s.md](guides/from-vault-k8s.md).

**What differs for every pod**
- One native sidecar (`vouchsafe-sidecar`) takes the place of `vault-agent-init` and `vault-agent`: one login, one set of leases, and Jobs end.
- It has no shell, listens on no port, and has a token of its own that the app cannot see.
- All files of a folder change in one step. What the app sees are symbolic links into that folder's current generation, so a mount of
  one file by `subPath` would never see a change.
- Straight to Vault by default, with a token without audience, so that roles and token reviewers keep working as they are.
- An absent key prints `<no value>`, as there. `error-on-missing-key-NAME: \"true\"` makes it an error.

**What vault-k8s accepts although it cannot work** is decided by the setting `compat`:

| | `compat: warn` (default) | `compat: strict` |
|---|---|---|
| a sure mistake with a sound reading: a misspelt name, an inverted request and limit, two secrets for one file, a foreign shell command | admitted with a warning | refused |
| what makes an agent fail at its start: an unclosed template, an address or role that is none, a relative folder, more secrets than a pod may have | admitted with a warning; the pod waits with that message | refused |
| what would harm others: a file name that leaves its folder, setuid, setgid and sticky modes, uid or gid 0 by an empty value | refused | refused |
| what vault-k8s refuses: a value of the wrong type, an empty role, address, image or login method | refused | refused |

So that what started yesterday starts tonight, turn to `strict` only when `vouchsafe check --drop-in` is silent.

\"bool\" is one of `1 t T true True TRUE 0 f F false False FALSE`, or empty, which is false. An annotation that is there but empty
overrides the injector's default. A suffix NAME is compared with its case between the annotations of one secret.
";

const SETTINGS_HEAD: &str = "
## Settings of the injector

The webhook reads the environment variables of vault-k8s by their own names, each with the prefix `AGENT_INJECT_`; a variable beats its flag, an
empty one is none, and a wrong one ends the webhook at its start with the variable's name.

| variable | flag | default | here |
|---|---|---|---|
";

const TAIL: &str = "
## Not there

- `auth-type` aws, azure, gcp, alicloud, cf, kerberos, ldap and oci: refused with a way out.
- `agent-configmap`: what such a configuration says belongs into annotations; the pod waits with that message, or is refused by strict.
- A cache listener or a quit endpoint on 127.0.0.1.
- Template functions of Consul and Nomad, and those that reach the network: refused at admission with the reason.
";

#[cfg(test)]
mod tests {
    use super::super::SETTING_PREFIX;
    use super::*;

    #[test]
    fn every_annotation_and_setting_stands_in_the_document_once() {
        let text = markdown();
        for entry in ANNOTATIONS {
            let name = if entry.form == Form::Family { format!("{}NAME", entry.name) } else { entry.name.to_owned() };
            assert_eq!(text.matches(&format!("\n| `{name}` |")).count(), 1, "{name}");
        }
        for setting in SETTINGS {
            assert!(text.contains(&format!("| `{}` |", setting.name)), "{}", setting.name);
        }
        assert!(text.contains(SETTING_PREFIX));
    }

    #[test]
    fn what_has_no_effect_says_why_unless_it_goes_with_a_neighbour() {
        for entry in ANNOTATIONS.iter().filter(|entry| entry.verdict == Verdict::Refused) {
            assert!(!entry.difference.is_empty(), "{}", entry.name);
        }
    }

    #[test]
    fn the_document_in_the_repository_is_current() {
        let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(DOCUMENT_PATH);
        if std::env::var_os("VOUCHSAFE_UPDATE_DOCS").is_some() {
            std::fs::write(&place, markdown()).unwrap();
        }
        let found = std::fs::read_to_string(&place).unwrap_or_default();
        assert!(
            found == markdown(),
            "{DOCUMENT_PATH} is not current: run VOUCHSAFE_UPDATE_DOCS=1 cargo test -p vouchsafe-policies document"
        );
    }
}
