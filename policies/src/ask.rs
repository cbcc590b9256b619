//! `Ask`: what a pod's annotations want.
//!
//! ```text
//! vouchsafe.dev/inject:     "grafana-sso, other"       which Grants; nothing happens without it
//! vouchsafe.dev/containers: "[grafana]"                who gets what names no container itself
//! vouchsafe.dev/command:    "{grafana: [/run.sh]}"     what the image of a container without command runs
//! vouchsafe.dev/on-change:  "{action: Signal, …}"      instead of what the Grants say
//! vouchsafe.dev/files:      "- {name: …, secret: …}"   in addition, or instead of a Grant's file of that name
//! vouchsafe.dev/env:        "- {name: …, secret: …}"
//! vouchsafe.dev/status:     informative, ours          never read
//! ```
//! Values are YAML with the same field names as in a Grant. Out of scope: other dialects.

use std::collections::BTreeMap;

use vouchsafe_model::name::{ContainerName, GrantName};
use vouchsafe_model::text::{nearest, quoted};

use crate::fault::Fault;
use crate::fields::{Faults, Item};
use crate::grant::{self, EnvEntry, FileEntry, OnChange};
use crate::yaml::{self, Content, Node};

/// What a pod's annotations want, checked by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Grants in the order of the annotation; at least one, none twice.
    pub grants: Vec<GrantName>,
    /// Containers that get what names none itself; empty means as the Grants say.
    pub containers: Vec<ContainerName>,
    /// Commands of containers whose pod has none.
    pub command: BTreeMap<ContainerName, Vec<String>>,
    /// Files in addition to, or instead of, the Grants'.
    pub files: Vec<FileEntry>,
    /// Variables in addition to, or instead of, the Grants'.
    pub env: Vec<EnvEntry>,
    /// Reaction to changes, instead of the Grants'.
    pub on_change: Option<OnChange>,
}

impl Ask {
    /// Reads a pod's annotations; those of others are passed over. `None`: the pod does not ask.
    pub fn parse(annotations: &BTreeMap<String, String>) -> Result<Option<Self>, Vec<Fault>> {
        let mut faults = Vec::new();
        let ours = annotations.iter().filter_map(|(name, value)| {
            name.strip_prefix(ANNOTATION_PREFIX).filter(|short| *short != STATUS).map(|short| (short, value.as_str()))
        });
        let mut ask = Self {
            grants: Vec::new(),
            containers: Vec::new(),
            command: BTreeMap::new(),
            files: Vec::new(),
            env: Vec::new(),
            on_change: None,
        };
        let mut asks = false;
        let mut others = Vec::new();
        for (short, value) in ours {
            if value.len() > ANNOTATION_BYTES {
                let message = format!(
                    "is {} bytes long, the limit is {ANNOTATION_BYTES}; move it into the Grant's deliver",
                    value.len()
                );
                faults.push(fault(short, message));
                continue;
            }
            if short == INJECT {
                asks = true;
                ask.grants = grant_names(value, &mut faults);
                continue;
            }
            others.push(short);
            ask.take(short, value, &mut faults);
        }
        if !asks && let Some(first) = others.first() {
            let message =
                format!("is without effect; add {ANNOTATION_PREFIX}{INJECT} with the names of the pod's Grants");
            if KNOWN.contains(first) {
                faults.push(fault(first, message));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(asks.then_some(ask))
    }

    fn take(&mut self, short: &str, value: &str, faults: &mut Faults) {
        if !KNOWN.contains(&short) {
            let hint = match nearest(short, KNOWN) {
                Some(name) => format!("did you mean {ANNOTATION_PREFIX}{name}?"),
                None => format!("known are {}", KNOWN.map(|name| format!("{ANNOTATION_PREFIX}{name}")).join(", ")),
            };
            faults.push(fault(short, format!("unknown annotation; {hint}")));
            return;
        }
        let Some(node) = document(short, value, faults) else { return };
        let item = Item { node: &node, path: format!("{ANNOTATION_PREFIX}{short}") };
        match short {
            "containers" => self.containers = grant::containers(&item, faults),
            "command" => self.command = grant::commands(&item, faults),
            "on-change" => self.on_change = grant::on_change(&item, faults),
            "files" => {
                let items = item.list(faults);
                self.files = items.iter().filter_map(|item| grant::file_entry(item, true, faults)).collect();
            }
            _ => {
                let items = item.list(faults);
                self.env = items.iter().filter_map(|item| grant::env_entry(item, true, faults)).collect();
            }
        }
    }
}

/// The one document of an annotation's value, without places: its lines mean nothing outside of it.
fn document(short: &str, value: &str, faults: &mut Faults) -> Option<Node> {
    let message = match yaml::documents("", value) {
        Ok(mut documents) if documents.len() == 1 => return documents.pop().map(Node::without_places),
        Ok(documents) if documents.is_empty() => "is empty; give it a value or remove it".to_owned(),
        Ok(_) => "holds several YAML documents; leave the --- out".to_owned(),
        Err(Fault { at: Some(at), message, .. }) => format!("line {}, column {}: {message}", at.line, at.column),
        Err(fault) => fault.message,
    };
    faults.push(fault(short, message));
    None
}

/// `grafana-sso, other`, or the same as a YAML list.
fn grant_names(value: &str, faults: &mut Faults) -> Vec<GrantName> {
    let trimmed = value.trim();
    if trimmed.is_empty() {
        faults.push(fault(INJECT, "is empty; write the names of the pod's Grants, as in \"argocd-sso\"".to_owned()));
        return Vec::new();
    }
    let mut names: Vec<GrantName> = Vec::new();
    if trimmed.starts_with('[') || trimmed.starts_with('-') {
        if let Some(node) = document(INJECT, value, faults) {
            let item = Item { node: &node, path: format!("{ANNOTATION_PREFIX}{INJECT}") };
            names = item.names(faults);
            if matches!(&node.content, Content::List(nodes) if nodes.is_empty()) {
                item.wrong(faults, "is empty; write the names of the pod's Grants, as in \"argocd-sso\"");
            }
        }
        return names;
    }
    for part in trimmed.split(',').map(str::trim) {
        if LIKE_TRUTH.iter().any(|word| part.eq_ignore_ascii_case(word)) {
            let message = format!(
                "{} is no name of a Grant; write which Grants the pod uses, as in \"argocd-sso\"",
                quoted(part)
            );
            faults.push(fault(INJECT, message));
            continue;
        }
        if let Some((namespace, name)) = part.split_once('/') {
            let message = format!(
                "{} names a Grant of a namespace, but a pod uses only Grants of its own; write {}",
                quoted(&format!("{namespace}/{name}")),
                quoted(name)
            );
            faults.push(fault(INJECT, message));
            continue;
        }
        match part.parse::<GrantName>() {
            Ok(name) if names.contains(&name) => faults.push(fault(INJECT, format!("{name} stands twice; remove one"))),
            Ok(name) => names.push(name),
            Err(error) => faults.push(fault(INJECT, format!("{error}; separate several names by commas"))),
        }
    }
    names
}

fn fault(short: &str, message: String) -> Fault {
    // A short name of another one's making may be any text: shown only where it is safe to.
    let shown = if KNOWN.contains(&short) { short.to_owned() } else { quoted(short).trim_matches('"').to_owned() };
    Fault::new(None, format!("{ANNOTATION_PREFIX}{shown}"), message)
}

/// Prefix of our annotations.
pub const ANNOTATION_PREFIX: &str = "vouchsafe.dev/";
/// Annotation that injection leaves behind; informative, never believed.
pub const STATUS_ANNOTATION: &str = "vouchsafe.dev/status";
/// Longest value of one annotation in bytes; Kubernetes allows 256 KiB for all of them together.
pub const ANNOTATION_BYTES: usize = 64 * 1024;

const INJECT: &str = "inject";
const STATUS: &str = "status";
const KNOWN: [&str; 6] = [INJECT, "containers", "command", "on-change", "files", "env"];
/// What users of other injectors write.
const LIKE_TRUTH: [&str; 6] = ["true", "false", "yes", "no", "1", "0"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Option<Ask>, Vec<String>> {
        let annotations = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ask::parse(&annotations).map_err(|faults| faults.iter().map(Fault::to_string).collect())
    }

    fn faults(pairs: &[(&str, &str)]) -> Vec<String> {
        parse(pairs).unwrap_err()
    }

    #[test]
    fn a_pod_without_our_annotations_does_not_ask() {
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&[("other.example/x", "y"), (STATUS_ANNOTATION, "injected")]), Ok(None));
    }

    #[test]
    fn names_of_grants_are_separated_by_commas_or_make_a_list() {
        let expected: Vec<GrantName> = vec!["argocd-sso".parse().unwrap(), "other".parse().unwrap()];
        for text in ["argocd-sso, other", " argocd-sso,other ", "[argocd-sso, other]", "- argocd-sso\n- other\n"] {
            assert_eq!(parse(&[("vouchsafe.dev/inject", text)]).unwrap().unwrap().grants, expected, "{text}");
        }
    }

    #[test]
    fn inject_wants_names_and_says_so() {
        let shown = |value: &str| faults(&[("vouchsafe.dev/inject", value)]);
        for word in ["true", " True ", "1", "yes", "no"] {
            let expected = format!(
                "vouchsafe.dev/inject: \"{}\" is no name of a Grant; write which Grants the pod uses, as in \"argocd-sso\"",
                word.trim()
            );
            assert_eq!(shown(word), [expected]);
        }
        for empty in ["", "  ", "[]"] {
            assert_eq!(
                shown(empty),
                ["vouchsafe.dev/inject: is empty; write the names of the pod's Grants, as in \"argocd-sso\""]
            );
        }
        assert_eq!(
            shown("other/argocd-sso"),
            [
                "vouchsafe.dev/inject: \"other/argocd-sso\" names a Grant of a namespace, but a pod uses only Grants of its \
              own; write \"argocd-sso\""
            ]
        );
        assert_eq!(shown("a, a"), ["vouchsafe.dev/inject: a stands twice; remove one"]);
        assert_eq!(
            shown("a b"),
            ["vouchsafe.dev/inject: grant \"a b\": \" \" is not allowed; use a-z, 0-9, '-' and '.'; \
              separate several names by commas"]
        );
        assert_eq!(shown("a,,b").len(), 1);
    }

    #[test]
    fn an_unknown_annotation_of_ours_is_a_fault_with_the_nearest_name() {
        assert_eq!(
            faults(&[("vouchsafe.dev/inject", "a"), ("vouchsafe.dev/file", "[]")]),
            ["vouchsafe.dev/file: unknown annotation; did you mean vouchsafe.dev/files?"]
        );
        assert_eq!(
            faults(&[("vouchsafe.dev/agent-role", "x")]),
            [
                "vouchsafe.dev/agent-role: unknown annotation; known are vouchsafe.dev/inject, vouchsafe.dev/containers, \
              vouchsafe.dev/command, vouchsafe.dev/on-change, vouchsafe.dev/files, vouchsafe.dev/env"
            ]
        );
    }

    #[test]
    fn annotations_without_inject_are_a_fault_not_silence() {
        assert_eq!(
            faults(&[("vouchsafe.dev/command", "{a: [b]}")]),
            ["vouchsafe.dev/command: is without effect; add vouchsafe.dev/inject with the names of the pod's Grants"]
        );
    }

    #[test]
    fn values_are_yaml_in_flow_or_block_form_with_the_grants_field_names() {
        let block = "- {name: token, secret: sso/github, key: t, containers: [app], pathEnv: TOKEN_FILE}\n";
        let flow = "[{name: token, secret: sso/github, key: t, containers: [app], pathEnv: TOKEN_FILE}]";
        let asks: Vec<Ask> = [block, flow]
            .iter()
            .map(|files| {
                let pairs = [
                    ("vouchsafe.dev/inject", "sso"),
                    ("vouchsafe.dev/files", *files),
                    ("vouchsafe.dev/on-change", "{action: Signal, signal: SIGHUP}"),
                    ("vouchsafe.dev/command", "{app: [/run.sh]}"),
                    ("vouchsafe.dev/containers", "[app]"),
                    ("vouchsafe.dev/env", "- {name: X, secret: github, key: t}"),
                ];
                parse(&pairs).unwrap().unwrap()
            })
            .collect();
        assert_eq!(asks[0], asks[1]);
        assert_eq!(asks[0].files[0].field, "vouchsafe.dev/files[0]");
        assert_eq!(asks[0].env[0].field, "vouchsafe.dev/env[0]");
    }

    #[test]
    fn all_faults_of_all_annotations_come_at_once() {
        let shown = faults(&[
            ("vouchsafe.dev/inject", "true"),
            ("vouchsafe.dev/files", "- {name: ../x, secret: a, key: b}\n- {nam: x}"),
            ("vouchsafe.dev/on-change", "{action: Reload}"),
            ("vouchsafe.dev/command", "sh -c 'x; y'"),
            ("vouchsafe.dev/env", "{"),
            ("vouchsafe.dev/enw", ""),
        ]);
        for expected in [
            "vouchsafe.dev/inject: \"true\" is no name of a Grant; write which Grants the pod uses, as in \"argocd-sso\"",
            "vouchsafe.dev/files[1].name: is missing; write it as in name: client_secret",
            "vouchsafe.dev/files[1]: says not what the file holds; add secret and key, or template",
            "vouchsafe.dev/on-change.action: no action is called \"Reload\"; use None, Signal, HTTP or Restart",
            "vouchsafe.dev/command: must be a map, it is text",
            "vouchsafe.dev/enw: unknown annotation; did you mean vouchsafe.dev/env?",
        ] {
            assert!(shown.iter().any(|fault| fault == expected), "{expected}\n{shown:#?}");
        }
        assert!(shown.iter().any(|fault| fault.starts_with("vouchsafe.dev/env: line ")), "{shown:#?}");
    }

    #[test]
    fn a_value_over_its_limit_is_refused_with_sizes() {
        let large = "x".repeat(ANNOTATION_BYTES + 1);
        assert_eq!(
            faults(&[("vouchsafe.dev/inject", "a"), ("vouchsafe.dev/files", &large)]),
            ["vouchsafe.dev/files: is 65537 bytes long, the limit is 65536; move it into the Grant's deliver"]
        );
    }

    #[test]
    fn aliases_and_several_documents_are_refused() {
        assert_eq!(
            faults(&[("vouchsafe.dev/inject", "a"), ("vouchsafe.dev/files", "- &x {name: a}\n- *x")]),
            ["vouchsafe.dev/files: line 1, column 3: anchors (&name) are not allowed here; write the value out"]
        );
        assert_eq!(
            faults(&[("vouchsafe.dev/inject", "a"), ("vouchsafe.dev/files", "[]\n---\n[]")]),
            ["vouchsafe.dev/files: holds several YAML documents; leave the --- out"]
        );
    }

    proptest! {
        #[test]
        fn no_annotation_makes_the_reader_panic(short in "inject|containers|command|on-change|files|env|[a-z]{0,9}", value in any::<String>(), yaml in "[a-z:{}\\[\\],0-9 \n|-]{0,80}") {
            for value in [&value, &yaml] {
                let annotations = BTreeMap::from([
                    ("vouchsafe.dev/inject".to_owned(), "a".to_owned()),
                    (format!("{ANNOTATION_PREFIX}{short}"), value.clone()),
                ]);
                if let Err(faults) = Ask::parse(&annotations) {
                    prop_assert!(!faults.is_empty());
                    prop_assert!(faults.iter().all(|fault| !fault.to_string().contains('\n')));
                }
            }
        }
    }
}
