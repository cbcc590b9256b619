//! What holds for any text.

use proptest::prelude::*;
use serde_json::json;

use super::super::kubelet::{Given, GivenValue, Token, look, tokens};
use super::super::{EnvValue, Environment, Part, Policy, RESOLVED_BYTES};
use super::store::Store;

/// Texts that are often nearly references.
fn near() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("vault:".to_owned()),
        Just(">>".to_owned()),
        Just("${".to_owned()),
        Just("}".to_owned()),
        Just("#".to_owned()),
        Just("secret/data/a".to_owned()),
        Just("${.k}".to_owned()),
        Just("v1:".to_owned()),
        Just("\n".to_owned()),
        Just("$(A)".to_owned()),
        Just("$$".to_owned()),
        Just("k".to_owned()),
        Just("{\"a\":1}".to_owned()),
        "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn store() -> Store {
    Store::new(&json!({"kv2": {"secret/data/a": [{"k": "value", "n": 1}]}, "kv1": {}, "kv2_deleted": []}), "r")
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_or_the_resolver_panic_and_results_are_bounded(texts in prop::collection::vec(near(), 0..5)) {
        let names = ["A", "B", "C", "VAULT_TOKEN", "VAULT_ENV_FROM_PATH"];
        let entries: Vec<(&str, &[u8])> = names.iter().zip(&texts).map(|(name, text)| (*name, text.as_bytes())).collect();
        if let Ok(environment) = Environment::bank_vaults(&entries) {
            for policy in [Policy::strict(), Policy { allow_no_value: true, ..Policy::strict() }] {
                match environment.resolve(&mut store(), &policy) {
                    Ok(resolved) => {
                        prop_assert!(resolved.variables.iter().map(|(_, value)| value.len()).sum::<usize>() <= RESOLVED_BYTES);
                    }
                    Err(errors) => prop_assert!(!errors.is_empty() && errors.iter().all(|error| !error.to_string().contains('\n'))),
                }
            }
        }
    }

    #[test]
    fn a_value_without_references_is_unchanged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assume!(!bytes.windows(6).any(|window| window == b"vault:"));
        let environment = Environment::plain(&[("A", bytes.as_slice())]).unwrap();
        prop_assert!(environment.is_literal());
        let resolved = environment.resolve(&mut store(), &Policy::strict());
        if bytes.contains(&0) {
            prop_assert!(resolved.is_err());
        } else {
            let resolved = resolved.unwrap();
            prop_assert_eq!(resolved.variables[0].1.expose(), bytes.as_slice());
        }
    }

    #[test]
    fn literals_and_references_together_are_the_whole_text(text in near()) {
        if let Ok(value) = EnvValue::parse("A", text.as_bytes()) {
            let literal: usize = value.parts().iter().map(|part| match part {
                Part::Literal(text) => text.len(),
                Part::Reference(_) => 0,
            }).sum();
            prop_assert!(literal <= text.len());
            prop_assert_eq!(literal == text.len(), value.is_literal());
        }
    }

    #[test]
    fn the_tokens_of_a_text_without_dollar_signs_are_the_text(text in "[^$]{0,40}") {
        let joined: String = tokens(&text).iter().map(|token| match token {
            Token::Text(text) => *text,
            Token::Name(_, whole) => *whole,
        }).collect();
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn no_environment_makes_the_kubelets_eye_panic(texts in prop::collection::vec(near(), 0..6), late in 0_usize..6) {
        let names = ["A", "B", "A", "C", "D", "E"];
        let given: Vec<Given<'_>> = names.iter().zip(&texts).enumerate().map(|(index, (name, text))| {
            Given { name, value: if index == late { GivenValue::Late } else { GivenValue::Text(text) } }
        }).collect();
        let outlook = look(&given, &texts, &texts);
        prop_assert_eq!(outlook.variables.len(), given.len());
    }
}
