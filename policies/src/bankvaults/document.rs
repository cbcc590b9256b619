//! `docs/bank-vaults.md`, made from the table that drives the parser.

use std::fmt::Write as _;

use super::table::{ANNOTATIONS, Annotation, FORGOTTEN, Verdict};

/// The document's place in the repository.
pub const DOCUMENT_PATH: &str = "docs/bank-vaults.md";

/// The whole document.
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for entry in ANNOTATIONS {
        text.push_str(&row(entry));
    }
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "\nNames that Bank-Vaults itself reads no more ({}) are warned about, unknown ones too, with the nearest name.\n",
        FORGOTTEN.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    );
    text.push_str(TAIL);
    text
}

fn row(entry: &Annotation) -> String {
    let name = match (entry.old, entry.new) {
        ("", new) => format!("`{new}` (new prefix only)"),
        (old, new) if old == new => format!("`{old}`"),
        (old, new) => format!("`{old}`, new `{new}`"),
    };
    let difference = match (entry.verdict, entry.difference) {
        (Verdict::Works, "") => String::new(),
        (Verdict::Works, difference) => format!("Different: {difference}."),
        (Verdict::Inert, difference) => format!("**No effect**: {difference}."),
        (Verdict::Refused, difference) => format!("**Refused**: {difference}."),
    };
    format!("| {name} | {} | {} | {} | {difference} |\n", entry.kind.words(), entry.default, entry.meaning)
}

const HEAD: &str = "\
# References and annotations of Bank-Vaults

<!-- Made from policies/src/bankvaults/table.rs; a test says when it is not current, and how to make it. -->

What `vault:path#key` in a variable means, which annotations of `vault.security.banzaicloud.io/` (vault-env) and
`secrets-webhook.security.bank-vaults.io/` (secret-init) count, and what is refused. The renamed product takes both prefixes; where
both say something the new one counts, with a warning. Names that start with `vault-` may start with `bao-` under the new prefix.

Today this is what `vouchsafe` reads and judges; the webhook does not change pods of this dialect yet. Variables that a Grant delivers
(`deliver.env`, see [grants.md](grants.md)) work now and need no reference in the pod.

## References

```text
value    = bare | text with inline references
bare     = [\">>\"] \"vault:\" path \"#\" key-or-template [ \"#\" version-or-body ]
transit  = \"vault:v\" digits \":\" ciphertext
login    = \"vault:login\"                    only as the value of VAULT_TOKEN
inline   = \"${\" [\">>\"] \"vault:\" … \"}\"       ends at the first \"}\", or the first two where they touch; one line
template = Go template between \"${\" and \"}\"  over the secret's keys, with Sprig's functions
```

| written | what the app gets |
|---|---|
| `vault:secret/data/app#password` | the newest value of the key; KV v2 with its `data/` |
| `vault:secret/data/app#password#3` | version 3 |
| `postgres://${vault:secret/data/db#user}:${vault:secret/data/db#pass}@db` | any number of references inside of text, over several lines |
| `vault:secret/data/db#${.user}:${.pass}` | a template over all keys of the secret |
| `>>vault:pki/issue/web#certificate#{\"common_name\":\"a.test\"}` | a write; its answer's key. Equal writes are made once |
| `vault:v1:…` | decrypted by the transit key of `VAULT_TRANSIT_KEY_ID`, in batches |
| `$(PASS)` in another variable | put together in the container, after `PASS` was resolved |
| `$(PASS)` in `command` or `args` | **refused** unless `argv` is allowed for the container: everybody may read it in /proc |

The grammar has no escape. White space before `vault:` makes it plain text, and a line break behind the key belongs to the key: both are warned about.

| | there | here |
|---|---|---|
| a missing secret, ignored | the variable disappears, or stays literal inline and in daemon mode | it disappears: a reference never reaches an app |
| a field that a template prints and the secret lacks | `<no value>` | an error |
| a list or map as value | an error | an error |
| the same path twice | read once | read once |
| a variable by `env` and by a whole path | both are passed | the container's own counts |
| a transit value | stands in the environment twice | once |
| batch size not set | the wrapper crashes | 25 |
| settings (`VAULT_ADDR`, …) in daemon mode | reach the app | never reach it, `VAULT_TOKEN_FILE` included |
| order of the variables | random | stable |

ConfigMaps, Secrets and custom resources are not changed: the values would lie in etcd.

## Annotations

| name | value | default | meaning | here |
|---|---|---|---|---|
";

const TAIL: &str = "
A pod with a volume `vault-env` or `secret-init` was changed by Bank-Vaults and is left alone.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_effect_or_is_refused_says_why() {
        for entry in ANNOTATIONS.iter().filter(|entry| entry.verdict != Verdict::Works) {
            assert!(!entry.difference.is_empty(), "{}", entry.new);
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
