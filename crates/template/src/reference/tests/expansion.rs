//! The kubelet's expansion.

use super::super::kubelet::{Given, GivenValue, KubeletFault, Outlook, Piece, Place, Role, Token, look, tokens};

/// The kubelet's answer where every name is known text.
fn expand(text: &str, known: &[(&str, &str)]) -> String {
    let token = |token: &Token<'_>| match token {
        Token::Text(text) => (*text).to_owned(),
        Token::Name(name, whole) => {
            known.iter().find(|(known, _)| known == name).map_or(*whole, |(_, value)| value).to_owned()
        }
    };
    tokens(text).iter().map(token).collect()
}

#[test]
fn dollar_signs_are_read_as_the_kubelet_reads_them() {
    let known = [("VAR", "value"), ("EMPTY", ""), ("A", "$(VAR)")];
    for (text, expected) in [
        ("$(VAR)", "value"),
        ("a$(VAR)b$(VAR)", "avaluebvalue"),
        ("$$(VAR)", "$(VAR)"),
        ("$$$(VAR)", "$value"),
        ("$$$$(VAR)", "$$(VAR)"),
        ("$(MISSING)", "$(MISSING)"),
        ("x$(EMPTY)y", "xy"),
        ("$(A)", "$(VAR)"),
        ("$(VAR", "$(VAR"),
        ("$VAR", "$VAR"),
        ("${VAR}", "${VAR}"),
        ("$", "$"),
        ("$$", "$"),
        ("$()", "$()"),
        ("$(VAR$(VAR))", "$(VAR$(VAR))"),
        ("foo$(VAR))", "foovalue)"),
        ("$(((", "$((("),
        ("$é", "$é"),
    ] {
        assert_eq!(expand(text, &known), expected, "{text}");
    }
}

fn seen(env: &[(&str, GivenValue<'static>)], args: &[&str]) -> Outlook {
    let given: Vec<Given<'_>> = env.iter().map(|(name, value)| Given { name, value: *value }).collect();
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    look(&given, &[], &args)
}

fn roles(env: &[(&str, GivenValue<'static>)]) -> Vec<Role> {
    seen(env, &[]).variables.into_iter().map(|variable| variable.role).collect()
}

use GivenValue::{Elsewhere, Late, Text};

#[test]
fn a_variable_made_of_a_reference_is_put_together_in_the_container() {
    assert_eq!(
        roles(&[
            ("PASS", Text("vault:a#b")),
            ("DSN", Text("postgres://u:$(PASS)@h")),
            ("CHAIN", Text("$(DSN)?x")),
            ("ESCAPED", Text("$$(PASS)")),
            ("EARLY", Text("$(LATER)")),
            ("LATER", Text("${vault:a#b}")),
            ("HIDDEN", Text("$(PLAIN)#k")),
            ("PLAIN", Text("vault:a")),
            ("WHOLE", Text("$(PLAIN)#k")),
        ]),
        [
            Role::Reference,
            Role::Dependent,
            Role::Dependent,
            Role::Plain,
            Role::Plain,
            Role::Reference,
            Role::Plain,
            Role::Plain,
            Role::Reference,
        ]
    );
}

#[test]
fn doubled_dollar_signs_make_an_inline_reference_as_the_kubelet_leaves_it() {
    assert_eq!(roles(&[("A", Text("$${vault:a#b}"))]), [Role::Reference]);
}

#[test]
fn what_is_delivered_in_the_container_makes_dependents_too() {
    let outlook = seen(
        &[("PASS", Late), ("HOST", Text("db$$1")), ("OTHER", Elsewhere), ("DSN", Text("u:$(PASS)@$(HOST)/$(OTHER)$$"))],
        &[],
    );
    let given = [
        Given { name: "PASS", value: Late },
        Given { name: "HOST", value: Text("") },
        Given { name: "OTHER", value: Elsewhere },
    ];
    assert_eq!(outlook.variables[3].role, Role::Dependent);
    assert_eq!(outlook.variables[3].text(&given), "u:$(PASS)@db$$1/$(OTHER)$$");
    let whole = outlook.variables[3].text(&given);
    assert_eq!(expand(&whole, &[("PASS", "p$(X)"), ("OTHER", "o")]), "u:p$(X)@db$1/o$");
}

#[test]
fn a_reference_inside_of_a_reference_is_a_fault() {
    let outlook =
        seen(&[("P", Text("vault:a#b")), ("Q", Text("vault:x/$(P)#k")), ("R", Text("${vault:x/$(P)#k}"))], &[]);
    let nested = |variable: &str| KubeletFault::Nested { variable: variable.to_owned(), inner: "P".to_owned() };
    assert_eq!(outlook.faults, [nested("Q"), nested("R")]);
    assert_eq!(roles(&[("E", Elsewhere), ("Q", Text("vault:x/$(E)#k"))]), [Role::Elsewhere, Role::Reference]);
}

#[test]
fn arguments_that_would_show_a_value_are_found_through_chains() {
    let env = [("PASS", Text("vault:a#b")), ("DSN", Text("u:$(PASS)@h")), ("PLAIN", Text("x")), ("FROM", Elsewhere)];
    let outlook =
        seen(&env, &["--a=$(PLAIN)", "--b=$(DSN)", "--c=$$(PASS)", "$(FROM)", "${vault:a#b}", "vault:8200", "$(NONE)"]);
    let found: Vec<_> = outlook
        .arguments
        .iter()
        .map(|argument| (argument.place, argument.late.clone(), argument.elsewhere.clone(), argument.literal))
        .collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        found,
        [
            (Place::Args(1), names(&["DSN"]), names(&[]), false),
            (Place::Args(3), names(&[]), names(&["FROM"]), false),
            (Place::Args(4), names(&[]), names(&[]), true),
        ]
    );
    let shown: Vec<bool> = outlook.arguments.iter().map(super::super::kubelet::Argument::shows_values).collect();
    assert_eq!(shown, [true, false, true]);
    assert_eq!(outlook.arguments[0].place.to_string(), "args[1]");
}

#[test]
fn arguments_see_the_last_value_of_a_name_and_variables_the_one_before_them() {
    let env = [("A", Text("vault:a#b")), ("B", Text("$(A)")), ("A", Text("plain")), ("C", Text("$(A)"))];
    let outlook = seen(&env, &["$(A)", "$(B)"]);
    let roles: Vec<Role> = outlook.variables.iter().map(|variable| variable.role).collect();
    assert_eq!(roles, [Role::Reference, Role::Dependent, Role::Plain, Role::Plain]);
    assert_eq!(outlook.variables[1].pieces, [Piece::Late(0)]);
    assert_eq!(outlook.arguments.len(), 1);
    assert_eq!(outlook.arguments[0].late, ["B"]);
}

#[test]
fn chains_that_double_at_each_step_end_in_a_fault_not_in_memory() {
    let names: Vec<String> = (0..64).map(|n| format!("V{n}")).collect();
    let texts: Vec<String> = names.iter().map(|name| format!("$({name})$({name})")).collect();
    let mut given = vec![Given { name: &names[0], value: Text("xxxxxxxx") }];
    given.extend((1..64).map(|n| Given { name: &names[n], value: Text(&texts[n - 1]) }));
    let outlook = look(&given, &[], &[]);
    assert!(matches!(outlook.faults.first(), Some(KubeletFault::TooLong { .. })));
    assert_eq!(outlook.variables.len(), 64);
}
