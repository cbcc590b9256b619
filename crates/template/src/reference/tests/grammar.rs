//! The grammar, line by line.

use super::super::{EnvValue, How, Part, Pick, Reference, ReferenceFault, Suspicion};

/// The parts in a notation of their own: literals in quotes, the rest in words.
fn shown(name: &str, text: &str) -> String {
    let value = match EnvValue::parse(name, text.as_bytes()) {
        Ok(value) => value,
        Err(fault) => return format!("fault: {fault}"),
    };
    let part = |part: &Part<'_>| match part {
        Part::Literal(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
        Part::Reference(Reference::Login) => "login".to_owned(),
        Part::Reference(Reference::Decrypt(text)) => format!("decrypt({})", text.as_str()),
        Part::Reference(Reference::Value { fetch, pick }) => {
            let pick = match pick {
                Pick::Key(key) => (*key).to_owned(),
                Pick::Template(text) => format!("template {text}"),
            };
            match fetch.how {
                How::Read { version: None } => format!("{}#{pick}", fetch.path),
                How::Read { version: Some(version) } => format!("{}#{pick}@{version}", fetch.path),
                How::Write { body } => format!("write {}#{pick} with {body}", fetch.path),
            }
        }
    };
    value.parts().iter().map(part).collect::<Vec<_>>().join(" + ")
}

#[test]
fn the_grammar_of_bank_vaults_is_read_as_it_reads_it() {
    for (text, expected) in [
        ("", ""),
        ("plain", "\"plain\""),
        ("vault:secret/data/a#b", "secret/data/a#b"),
        ("vault:/secret/data/a/#b", "secret/data/a#b"),
        ("vault:secret/data/a#b#3", "secret/data/a#b@3"),
        ("vault:secret/data/a#b#", "secret/data/a#b"),
        ("vault:secret/data/a#b#-1", "secret/data/a#b"),
        (">>vault:pki/issue/web#cert", "write pki/issue/web#cert with {}"),
        (">>vault:pki/issue/web#cert#{\"a\":\"x#y\"}", "write pki/issue/web#cert with {\"a\":\"x#y\"}"),
        ("vault:v1:abc==", "decrypt(vault:v1:abc==)"),
        ("vault:v12:a#b", "decrypt(vault:v12:a#b)"),
        ("vault:v1/data/a#b", "v1/data/a#b"),
        ("vault:vault/data/a#b", "vault/data/a#b"),
        ("vault:a#${.user}:${.pass | upper}", "a#template ${.user}:${.pass | upper}"),
        ("vault:a#x${.user}y", "a#template x${.user}y"),
        ("${vault:a#b}", "a#b"),
        ("x${vault:a#b}y${vault:c#d#2}z", "\"x\" + a#b + \"y\" + c#d@2 + \"z\""),
        ("${>>vault:a#b}", "write a#b with {}"),
        ("${>>vault:a#b#{\"c\":1}}", "write a#b with {\"c\":1}"),
        ("${vault:a#${.b}}", "a#template ${.b}"),
        ("${vault:v1:abc}", "decrypt(vault:v1:abc)"),
        ("a: ${vault:a#b}\nc: ${vault:c#d}\n", "\"a: \" + a#b + \"\\nc: \" + c#d + \"\\n\""),
        ("${vault:a\n#b}", "\"${vault:a\\n#b}\""),
        ("${vault:a\n${vault:a#b}", "\"${vault:a\\n\" + a#b"),
        ("${vault:a#b", "\"${vault:a#b\""),
        // Inline references come first, so what remains is text.
        ("vault:${vault:a#port}", "\"vault:\" + a#port"),
        ("$${vault:a#b}", "\"$\" + a#b"),
        // The first two braces that touch end it.
        ("{${vault:a#b}}", "\"{\" + a#b}"),
        ("${vault:a#b}\"}", "a#b + \"\\\"}\""),
        // No references.
        (" vault:a#b", "\" vault:a#b\""),
        ("Vault:a#b", "\"Vault:a#b\""),
        ("https://vault:8200", "\"https://vault:8200\""),
        ("${VAR}", "\"${VAR}\""),
        (">vault:a#b", "\">vault:a#b\""),
        (">>>vault:a#b", "\">>>vault:a#b\""),
    ] {
        assert_eq!(shown("A", text), expected, "{text:?}");
    }
    assert_eq!(shown("VAULT_TOKEN", "vault:login"), "login");
    assert_eq!(shown("VAULT_TOKEN", "x-${vault:login}"), "\"x-\" + login");
}

#[test]
fn a_fault_names_path_and_key_and_how_to_write_it() {
    for (text, expected) in [
        ("vault:secret/data/a", "secret key is not defined: write vault:secret/data/a#KEY"),
        ("vault:8200", "secret key is not defined: write vault:8200#KEY"),
        ("vault:login", "secret key is not defined: write vault:login#KEY"),
        ("vault:#b", "the reference has no path; write vault:MOUNT/data/PATH#KEY"),
        ("vault:a#", "the key behind the '#' is empty (path a); write its name"),
        ("vault:a#b#x", "version \"x\" is no number (path a); write vault:PATH#KEY#VERSION"),
        ("vault:a#b#+1", "version \"+1\" is no number (path a); write vault:PATH#KEY#VERSION"),
        (
            ">>vault:a#b#hunter2",
            "the body of the write to path a is no JSON object; write >>vault:PATH#KEY#{\"name\":\"value\"}",
        ),
        ("${>vault:a#b}", "a write begins with two signs: write >>vault:"),
        ("vault:a/../b#c", "Vault path \"a/../b\": segment \"..\" is not allowed"),
    ] {
        assert_eq!(shown("A", text), format!("fault: {expected}"), "{text:?}");
    }
    assert!(matches!(
        EnvValue::parse("A", b"vault:a#${nofunction .b}"),
        Err(ReferenceFault::Compile { path, problem }) if path == "a" && problem.contains("nofunction")
    ));
    assert_eq!(EnvValue::parse("A", b"vault:a#\xff").unwrap_err(), ReferenceFault::NotText);
}

#[test]
fn text_that_only_looks_like_a_reference_is_noticed() {
    let suspicion = |text: &str| EnvValue::parse("A", text.as_bytes()).unwrap().suspicion();
    assert_eq!(suspicion("${vault:a\n#b}"), Some(Suspicion::Unclosed));
    assert_eq!(suspicion(" vault:a#b"), Some(Suspicion::NotAtStart));
    assert_eq!(suspicion("postgres://vault:5432/x"), None);
    assert_eq!(suspicion("vault:a#b"), None);
}

#[test]
fn a_value_of_many_references_is_refused_not_resolved() {
    let text = "${vault:a#b}".repeat(300);
    assert!(matches!(EnvValue::parse("A", text.as_bytes()), Err(ReferenceFault::TooMany { .. })));
}

#[test]
fn debug_texts_show_no_literal_no_body_and_no_ciphertext() {
    for text in ["hunter2", "x${vault:a#b}hunter2", ">>vault:a#b#{\"p\":\"hunter2\"}", "vault:v1:hunter2"] {
        let value = EnvValue::parse("A", text.as_bytes()).unwrap();
        assert!(!format!("{value:?}").contains("hunter2"), "{value:?}");
    }
}
