//! `Acl`: which rule decides about a path, with the precedence of Vault and OpenBao.
//!
//! - An exact rule decides.
//! - Otherwise the most specific of the longest prefix rule and all matching segment rules: the later first wildcard wins;
//!   not ending in `*` wins; fewer `+` wins; longer wins; lexicographically greater wins.
//! - Equal patterns of several policies merge; deny wins among them.
//!
//! LIST and SCAN on `x/` are judged as `x/` and as `x`, since rules are written both ways. Servers differ in which is
//! tried first (and one order let a LIST slip past a deny), so both verdicts must agree: we never allow what either
//! refuses. Out of scope: rules on parameters, which [`super::policy`] refuses to load.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::policy::{Capabilities, Pattern, Rule};
use crate::upstream::Operation;

/// What a token may do.
#[derive(Debug, Default)]
pub(crate) struct Acl {
    root: bool,
    exact: BTreeMap<String, Capabilities>,
    prefix: BTreeMap<String, Capabilities>,
    segments: BTreeMap<String, Capabilities>,
}

impl Acl {
    /// May do everything.
    pub(crate) fn root() -> Self {
        Self { root: true, ..Self::default() }
    }

    /// Out of the rules of all policies of a token.
    pub(crate) fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut acl = Self::default();
        for Rule { pattern, capabilities } in rules {
            let (map, key) = match pattern {
                Pattern::Exact(path) => (&mut acl.exact, path),
                Pattern::Prefix(path) => (&mut acl.prefix, path),
                Pattern::Segments(path) => (&mut acl.segments, path),
            };
            let held = map.entry(key).or_default();
            *held = held.union(capabilities);
        }
        acl
    }

    /// Whether `needed` is allowed at `path`.
    pub(crate) fn allows(&self, operation: Operation, needed: Capabilities, path: &str) -> bool {
        let verdict = match operation {
            Operation::List | Operation::Scan => self.listing_verdict(path),
            _ => self.verdict(path),
        };
        self.root || verdict.has(needed) && !verdict.has(Capabilities::DENY)
    }

    /// What is allowed at `path`, as `sys/capabilities-self` says it.
    pub(crate) fn capabilities(&self, path: &str) -> Vec<&'static str> {
        if self.root { vec!["root"] } else { self.listing_verdict(path).names() }
    }

    /// Whether anything at all is allowed at or below the mount `path` (which ends in `/`).
    pub(crate) fn reaches_into(&self, path: &str) -> bool {
        let useful = |capabilities: &Capabilities| !matches!(*capabilities, Capabilities::NONE | Capabilities::DENY);
        let below = |map: &BTreeMap<String, Capabilities>| {
            map.range(path.to_owned()..).take_while(|(key, _)| key.starts_with(path)).any(|(_, held)| useful(held))
        };
        self.root
            || useful(&self.listing_verdict(path))
            || below(&self.exact)
            || below(&self.prefix)
            || self.segments.iter().any(|(pattern, held)| useful(held) && overlaps(pattern, path))
    }

    fn verdict(&self, path: &str) -> Capabilities {
        self.exact.get(path).copied().or_else(|| self.inexact(path)).unwrap_or_default()
    }

    fn listing_verdict(&self, path: &str) -> Capabilities {
        let bare = path.strip_suffix('/').unwrap_or(path);
        if let Some(found) = self.exact.get(path).or_else(|| self.exact.get(bare)) {
            return *found;
        }
        match (self.inexact(path), self.inexact(bare)) {
            (Some(one), Some(other)) => one.common(other),
            (one, other) => one.or(other).unwrap_or_default(),
        }
    }

    /// The verdict of the most specific rule with a wildcard.
    fn inexact(&self, path: &str) -> Option<Capabilities> {
        let longest = prefixes(path).find_map(|prefix| self.prefix.get_key_value(prefix));
        let longest = longest.map(|(prefix, held)| (Rank::of_prefix(prefix), *held));
        let matching = self.segments.iter().filter(|(pattern, _)| matches(pattern, path));
        let matching = matching.map(|(pattern, held)| (Rank::of_segments(pattern), *held));
        matching.chain(longest).max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, held)| held)
    }
}

/// How specific a rule is; greater wins.
#[derive(PartialEq, Eq)]
struct Rank<'a> {
    first_wildcard: usize,
    is_prefix: bool,
    wildcards: usize,
    text: &'a str,
}

impl<'a> Rank<'a> {
    fn of_prefix(prefix: &'a str) -> Self {
        Self { first_wildcard: prefix.len(), is_prefix: true, wildcards: 0, text: prefix }
    }

    fn of_segments(pattern: &'a str) -> Self {
        let text = pattern.strip_suffix('*').unwrap_or(pattern);
        Self {
            first_wildcard: pattern.find('+').unwrap_or(pattern.len()),
            is_prefix: pattern.ends_with('*'),
            wildcards: text.split('/').filter(|segment| *segment == "+").count(),
            text,
        }
    }
}

impl Ord for Rank<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first_wildcard
            .cmp(&other.first_wildcard)
            .then(other.is_prefix.cmp(&self.is_prefix))
            .then(other.wildcards.cmp(&self.wildcards))
            .then(self.text.len().cmp(&other.text.len()))
            .then(self.text.cmp(other.text))
    }
}

impl PartialOrd for Rank<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// All prefixes of `path`, longest first.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    (0..=path.len()).rev().filter_map(|end| path.get(..end))
}

/// Whether a pattern with `+` segments matches `path`.
fn matches(pattern: &str, path: &str) -> bool {
    let (body, is_prefix) = match pattern.strip_suffix('*') {
        Some(body) => (body, true),
        None => (pattern, false),
    };
    let wanted: Vec<&str> = body.split('/').collect();
    let given: Vec<&str> = path.split('/').collect();
    if given.len() < wanted.len() || (!is_prefix && given.len() != wanted.len()) {
        return false;
    }
    let last = wanted.len() - 1;
    wanted.iter().zip(&given).enumerate().all(|(position, (wanted, given))| {
        *wanted == "+" || wanted == given || (is_prefix && position == last && given.starts_with(wanted))
    })
}

/// Whether a pattern with `+` segments can match something below `folder` (which ends in `/`).
fn overlaps(pattern: &str, folder: &str) -> bool {
    let (body, is_prefix) = match pattern.strip_suffix('*') {
        Some(body) => (body, true),
        None => (pattern, false),
    };
    let wanted: Vec<&str> = body.split('/').collect();
    let given: Vec<&str> = folder.trim_end_matches('/').split('/').collect();
    if wanted.len() <= given.len() && !is_prefix {
        return false;
    }
    let last = wanted.len().saturating_sub(1);
    wanted.iter().zip(&given).enumerate().all(|(position, (wanted, given))| {
        *wanted == "+" || wanted == given || (is_prefix && position == last && given.starts_with(wanted))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::policy;
    use super::*;

    fn acl(text: &str) -> Acl {
        Acl::new(policy::parse(text).unwrap())
    }

    /// One `PATTERN CAPABILITY…` a line.
    fn rules(lines: &[&str]) -> Acl {
        let text: Vec<String> = lines
            .iter()
            .map(|line| {
                let mut words = line.split(' ');
                let path = words.next().unwrap();
                format!("path {path:?} {{ capabilities = {:?} }}", words.collect::<Vec<_>>())
            })
            .collect();
        acl(&text.join("\n"))
    }

    #[test]
    fn the_most_specific_rule_decides() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&["a/b read", "a/* list"], "a/b", "read"),
            (&["a/b deny", "a/* read"], "a/b", "deny"),
            (&["a/b* read", "a/* list"], "a/bc", "read"),
            (&["a/* read"], "a", "deny"),
            (&["a* read"], "abc/d", "read"),
            (&["* read"], "x/y", "read"),
            (&["a/+/c read"], "a/b/c", "read"),
            (&["a/+/c read"], "a/b/d", "deny"),
            (&["a/+/c read"], "a/b/c/d", "deny"),
            (&["a/+ read"], "a/b", "read"),
            (&["a/+ read"], "a/b/c", "deny"),
            (&["+/b read"], "a/b", "read"),
            (&["a/+/c* read"], "a/b/cde/f", "read"),
            (&["a/+/c read", "a/b/* list"], "a/b/c", "list"),
            (&["a/+/c read", "a/* list"], "a/b/c", "read"),
            (&["a/+/c read", "a/+/c* list"], "a/b/c", "read"),
            (&["a/b/+/d read", "a/+/c/d list"], "a/b/c/d", "read"),
            (&["a/+/+/d read", "a/+/c/d list"], "a/b/c/d", "list"),
            (&["a/+/ba* read", "a/+/b* list"], "a/x/bar", "read"),
            (&["a/+ read", "a/* list"], "a/b", "read"),
            (&["a/b read", "a/b list"], "a/b", "list read"),
            (&["a/b read", "a/b deny"], "a/b", "deny"),
            (&["a/+x/c read"], "a/+x/c", "read"),
            (&["a/+x/c read"], "a/bx/c", "deny"),
        ];
        for (lines, path, expected) in cases {
            let acl = rules(lines);
            assert_eq!(acl.verdict(path).names().join(" "), *expected, "{lines:?} at {path}");
        }
    }

    #[test]
    fn a_listing_needs_both_spellings_of_its_folder_to_agree() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["s/metadata/ list"], "s/metadata/", true),
            (&["s/metadata list"], "s/metadata/", true),
            (&["s/metadata/* list"], "s/metadata/", true),
            (&["s/metadata/foo/* list"], "s/metadata/foo/", true),
            (&["s/metadata/foo list"], "s/metadata/foo/", true),
            (&["s/metadata/+ list"], "s/metadata/foo/", true),
            (&["s/metadata/+/ list"], "s/metadata/foo/", true),
            (&["s/metadata/* list", "s/metadata/foo/* deny"], "s/metadata/foo/", false),
            (&["s/metadata/* list", "s/metadata/foo/* read"], "s/metadata/foo/", false),
            (&["s/metadata/* deny", "s/metadata/foo/* list"], "s/metadata/foo/", false),
            (&["s/metadata/* read"], "s/metadata/", false),
        ];
        for (lines, path, allowed) in cases {
            let verdict = rules(lines).allows(Operation::List, Capabilities::LIST, path);
            assert_eq!(verdict, *allowed, "{lines:?} at {path}");
        }
    }

    #[test]
    fn a_mount_is_reached_by_any_useful_rule_below_it() {
        let cases: &[(&[&str], bool)] = &[
            (&["secret/data/x read"], true),
            (&["secret/data/x deny"], false),
            (&["secret/* read"], true),
            (&["sec* read"], true),
            (&["other/* read"], false),
            (&["+/data/x read"], true),
            (&["+/data/x deny"], false),
            (&["other/+/x read"], false),
            (&["secret/+/x read"], true),
        ];
        for (lines, reached) in cases {
            assert_eq!(rules(lines).reaches_into("secret/"), *reached, "{lines:?}");
        }
    }

    #[test]
    fn root_may_do_everything_and_nobody_nothing() {
        assert!(Acl::root().allows(Operation::Write, Capabilities::SUDO, "x"));
        assert_eq!(Acl::root().capabilities("x"), ["root"]);
        assert!(!Acl::default().allows(Operation::Read, Capabilities::READ, "x"));
        assert_eq!(Acl::default().capabilities("x"), ["deny"]);
    }

    fn pattern() -> impl Strategy<Value = String> {
        "(a|b|\\+)(/(a|b|\\+)){0,3}(\\*|/\\*|/|)".prop_map(|text| text.replace("+*", "+/*"))
    }

    proptest! {
        #[test]
        fn no_rules_and_no_path_make_the_matcher_panic(
            patterns in proptest::collection::vec("[ab+*/é]{0,8}", 0..6), path in "[ab+*/é]{0,10}"
        ) {
            let lines: Vec<Rule> = patterns.iter().filter_map(|pattern| {
                policy::parse(&format!("path {pattern:?} {{ policy = \"read\" }}")).ok()
            }).flatten().collect();
            let acl = Acl::new(lines);
            let _ = (acl.capabilities(&path), acl.reaches_into(&path));
        }

        #[test]
        fn a_deny_of_the_same_pattern_always_wins(patterns in proptest::collection::vec(pattern(), 1..6), path in "[ab](/[ab]){0,3}") {
            let lines = |capability: &str| patterns.iter().map(|p| format!("{p} {capability}")).collect::<Vec<_>>();
            let both: Vec<String> = lines("read").into_iter().chain(lines("deny")).collect();
            let both: Vec<&str> = both.iter().map(String::as_str).collect();
            prop_assert!(!rules(&both).allows(Operation::Read, Capabilities::READ, &path));
            prop_assert!(!rules(&both).allows(Operation::List, Capabilities::READ, &path));
        }

        #[test]
        fn the_order_of_rules_never_matters(patterns in proptest::collection::vec(pattern(), 1..6), path in "[ab](/[ab]){0,3}") {
            let names = ["read", "list", "deny", "update", "create", "delete"];
            let lines: Vec<String> = patterns.iter().zip(names.iter().cycle()).map(|(p, n)| format!("{p} {n}")).collect();
            let mut forward: Vec<&str> = lines.iter().map(String::as_str).collect();
            let one = rules(&forward).capabilities(&path);
            forward.reverse();
            prop_assert_eq!(one, rules(&forward).capabilities(&path));
        }

        #[test]
        fn an_exact_rule_beats_all_others(patterns in proptest::collection::vec(pattern(), 0..6), path in "[ab](/[ab]){0,3}") {
            let mut lines: Vec<String> = patterns.iter().filter(|p| **p != path).map(|p| format!("{p} deny")).collect();
            lines.push(format!("{path} read"));
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            prop_assert!(rules(&lines).allows(Operation::Read, Capabilities::READ, &path));
        }
    }
}
