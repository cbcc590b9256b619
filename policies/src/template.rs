//! The one door to the template engine: what a template reads, or why it is none.

use vouchsafe_template::{Options, Template};

/// A field of a secret that a template names literally.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Read {
    /// The secret: first field of the root.
    pub(crate) secret: String,
    /// The key, if the template names one.
    pub(crate) key: Option<String>,
}

/// Compiles `text` in our dialect and lists what it reads, sorted, each once. The fault carries line and column in the
/// template.
pub(crate) fn reads(name: &str, text: &str, delimiters: Option<&(String, String)>) -> Result<Vec<Read>, String> {
    let mut options = Options::own();
    if let Some((left, right)) = delimiters {
        options = options.with_delimiters(left, right);
    }
    let template = Template::compile(name, text, &options).map_err(|error| error.to_string())?;
    let mut reads: Vec<Read> =
        template.roots().into_iter().map(|field| Read { secret: field.secret, key: field.key }).collect();
    reads.sort();
    reads.dedup();
    Ok(reads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_template_names_is_found_with_any_delimiters() {
        let expected =
            [Read { secret: "a".to_owned(), key: Some("b".to_owned()) }, Read { secret: "c".to_owned(), key: None }];
        assert_eq!(reads("t", "{{ .a.b }}{{ range .c }}{{ . }}{{ end }}{{ .a.b }}", None).unwrap(), expected);
        let delimiters = ("<<".to_owned(), ">>".to_owned());
        assert_eq!(reads("t", "{ << .a.b >> << toJSON .c >> }", Some(&delimiters)).unwrap(), expected);
    }

    #[test]
    fn a_broken_template_is_refused_with_its_place() {
        let message = reads("ch_users.xml", "x\n{{ if .a.b }}", None).unwrap_err();
        assert!(message.starts_with("template ch_users.xml:"), "{message}");
    }
}
