//! Reading a mapping strictly: each field once, unknown ones refused with the nearest name.
//!
//! Faults are collected, never thrown: a reader returns what it could read and the rest is already reported.

use std::fmt::Display;
use std::str::FromStr;

use vouchsafe_model::text::{nearest, quoted};

use crate::fault::{At, Fault};
use crate::yaml::{Content, Entry, Node};

/// Faults found so far.
pub(crate) type Faults = Vec<Fault>;

/// A mapping whose fields are being read.
pub(crate) struct Fields<'n> {
    at: Option<At>,
    path: String,
    entries: &'n [Entry],
    known: Vec<&'static str>,
}

/// A value and the name that messages give it.
#[derive(Clone)]
pub(crate) struct Item<'n> {
    /// The value.
    pub(crate) node: &'n Node,
    /// Its field path.
    pub(crate) path: String,
}

impl<'n> Fields<'n> {
    /// Opens a mapping; anything else is a fault.
    pub(crate) fn open(item: &Item<'n>, faults: &mut Faults) -> Option<Self> {
        if let Content::Map(entries) = &item.node.content {
            Some(Self { at: item.node.at.clone(), path: item.path.clone(), entries, known: Vec::new() })
        } else {
            item.wrong(faults, format!("must be a map, it is {}", item.node.shape()));
            None
        }
    }

    /// The field, if it is there.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<Item<'n>> {
        self.known.push(name);
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        Some(Item { node: &entry.value, path: self.path_of(name) })
    }

    /// The field; a fault if it is not there. `example` shows how to write it.
    pub(crate) fn required(&mut self, name: &'static str, example: &str, faults: &mut Faults) -> Option<Item<'n>> {
        let found = self.optional(name);
        if found.is_none() {
            let message = format!("is missing; write it as in {example}");
            faults.push(Fault::new(self.at.clone(), self.path_of(name), message));
        }
        found
    }

    /// Passes over fields that are somebody else's.
    pub(crate) fn tolerate(&mut self, names: &[&'static str]) {
        self.known.extend(names);
    }

    /// Reports every field that nobody asked for.
    pub(crate) fn finish(self, faults: &mut Faults) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            let hint = match nearest(&entry.key, self.known.iter().copied()) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("known are {}", self.known.join(", ")),
            };
            let message = format!("unknown field {}; {hint}", quoted(&entry.key));
            faults.push(Fault::new(entry.at.clone(), self.path.clone(), message));
        }
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl<'n> Item<'n> {
    /// Reports that this value is wrong.
    pub(crate) fn wrong(&self, faults: &mut Faults, message: impl Into<String>) {
        faults.push(Fault::new(self.node.at.clone(), self.path.clone(), message));
    }

    /// Text; a number or truth value must be quoted to be text.
    pub(crate) fn text(&self, faults: &mut Faults) -> Option<&'n str> {
        match &self.node.content {
            Content::Text(text) => Some(text),
            Content::Number { text, .. } => {
                self.wrong(faults, format!("must be text; write it in quotes: \"{text}\""));
                None
            }
            Content::Bool(value) => {
                self.wrong(faults, format!("must be text; write it in quotes: \"{value}\""));
                None
            }
            _ => {
                self.wrong(faults, format!("must be text, it is {}", self.node.shape()));
                None
            }
        }
    }

    /// Text that is a name or path of its kind.
    pub(crate) fn parse<T>(&self, faults: &mut Faults) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.text(faults)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(faults, error.to_string());
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, faults: &mut Faults) -> Option<bool> {
        if let Content::Bool(value) = self.node.content {
            return Some(value);
        }
        self.wrong(faults, format!("must be true or false, it is {}", self.node.shape()));
        None
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn whole_number(&self, least: u64, most: u64, faults: &mut Faults) -> Option<u64> {
        if let Content::Number { value, .. } = &self.node.content
            && let Some(number) = value.as_u64().filter(|number| (least..=most).contains(number))
        {
            return Some(number);
        }
        self.wrong(faults, format!("must be a whole number from {least} to {most}"));
        None
    }

    /// The items of a list.
    pub(crate) fn list(&self, faults: &mut Faults) -> Vec<Item<'n>> {
        match &self.node.content {
            Content::List(nodes) if nodes.len() > LIST_ITEMS => {
                self.wrong(faults, format!("has {} entries, the limit is {LIST_ITEMS}; split it", nodes.len()));
                Vec::new()
            }
            Content::List(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| Item { node, path: format!("{}[{index}]", self.path) })
                .collect(),
            _ => {
                self.wrong(faults, format!("must be a list, it is {}", self.node.shape()));
                Vec::new()
            }
        }
    }

    /// A list of names without repetition.
    pub(crate) fn names<T>(&self, faults: &mut Faults) -> Vec<T>
    where
        T: FromStr + PartialEq + Display,
        T::Err: Display,
    {
        let mut names = Vec::new();
        for item in self.list(faults) {
            match item.parse::<T>(faults) {
                Some(name) if names.contains(&name) => item.wrong(faults, format!("{name} stands twice; remove one")),
                Some(name) => names.push(name),
                None => {}
            }
        }
        names
    }

    /// The entries of a map with free keys: place of the key, key, value.
    pub(crate) fn entries(&self, faults: &mut Faults) -> Vec<(Option<At>, &'n str, Item<'n>)> {
        if let Content::Map(entries) = &self.node.content {
            entries
                .iter()
                .map(|entry| {
                    let item = Item { node: &entry.value, path: format!("{}.{}", self.path, entry.key) };
                    (entry.at.clone(), entry.key.as_str(), item)
                })
                .collect()
        } else {
            self.wrong(faults, format!("must be a map, it is {}", self.node.shape()));
            Vec::new()
        }
    }
}

/// Longest list of one field; far above any real one, and comparing all pairs of it still takes a millisecond.
const LIST_ITEMS: usize = 1000;
