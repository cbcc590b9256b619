//! What the pages say is what the programs do.

use std::fs;

use vouchsafe_tests::workspace;

#[test]
fn every_code_of_the_sidecar_is_explained_once() {
    let page = fs::read_to_string(workspace().join("docs/errors.md")).unwrap();
    for (code, _) in vouchsafe_sidecar::cause::CODES {
        let heading = format!("## {code}\n");
        assert_eq!(page.matches(&heading).count(), 1, "docs/errors.md needs one heading {code}");
    }
    let headings = page.lines().filter(|line| line.starts_with("## E-")).count();
    assert_eq!(headings, vouchsafe_sidecar::cause::CODES.len(), "docs/errors.md explains codes that no program has");
}

#[test]
fn links_between_pages_point_at_files() {
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "docs/grants.md",
        "docs/sidecar.md",
        "docs/broker.md",
        "docs/errors.md",
    ] {
        let text = fs::read_to_string(workspace().join(page)).unwrap();
        let folder = workspace().join(page).parent().unwrap().to_path_buf();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if !link.is_empty() && !link.contains("://") {
                assert!(folder.join(link).exists(), "{page} links to {link}");
            }
        }
    }
}

#[test]
fn no_message_names_a_verb_that_does_not_exist() {
    let arguments = fs::read_to_string(workspace().join("cli/src/arguments.rs")).unwrap();
    let cause = fs::read_to_string(workspace().join("sidecar/src/cause.rs")).unwrap();
    for verb in cause.split("'vouchsafe ").skip(1).filter_map(|rest| rest.split([' ', '\'', '{']).next()) {
        let variant = format!("{}{}", verb[..1].to_uppercase(), &verb[1..]);
        assert!(arguments.contains(&format!("    {variant}(")), "sidecar messages name 'vouchsafe {verb}'");
    }
}
