//! Any text as Grants, manifests and annotations: never a panic, always an answer.
#![no_main]
use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use vouchsafe_policies::{Ask, GrantSet, compile, manifest};

fuzz_target!(|text: &str| {
    if let Ok(grants) = GrantSet::read(&[("fuzz.yaml".to_owned(), text.to_owned())]) {
        let _ = compile(&grants);
    }
    let _ = manifest::read("fuzz.yaml", text);
    for name in ["inject", "files", "env", "command", "on-change", "containers"] {
        let annotations = BTreeMap::from([(format!("vouchsafe.dev/{name}"), text.to_owned())]);
        let _ = Ask::parse(&annotations);
    }
});
