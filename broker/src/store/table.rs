//! `Session`: the records as one request sees them: names in, decrypted values out, writes held back until commit.
//!
//! ```text
//! shelf      physical key                       value
//! records    HMAC(name)                  32     sealed JSON of the record
//! names      HMAC(folder) | HMAC(entry)  16+16  sealed entry name, "x" or "x/"
//! expiry     seconds (8, big endian) | tag      empty; which token ends when
//! header     "format", "wrapped"                plain: form of the file, wrapped data key
//! ```
//! A record that is `Listed` has an entry in its folder, and each folder one in its parent: LIST is one range scan, and
//! neither names nor their number of levels can be read from the file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use vouchsafe_model::Secret;
use vouchsafe_model::wire::extension::Change;

use super::barrier::Barrier;
use super::fault::Fault;

/// Definition of every table of the file.
pub(crate) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
/// Sealed records.
pub(crate) const RECORDS: Definition = TableDefinition::new("records");
/// Sealed names, by folder.
pub(crate) const NAMES: Definition = TableDefinition::new("names");
/// Ends of tokens, by time.
pub(crate) const EXPIRY: Definition = TableDefinition::new("expiry");
/// What is needed to open the rest.
pub(crate) const HEADER: Definition = TableDefinition::new("header");

/// One of the tables that requests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shelf {
    /// [`RECORDS`].
    Records,
    /// [`NAMES`].
    Names,
    /// [`EXPIRY`].
    Expiry,
}

/// Whether a record appears in LIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// It has an entry in its folder.
    Yes,
    /// It is reached by its name only.
    No,
}

/// Writes held back: `None` deletes.
pub(crate) type Pending = BTreeMap<(Shelf, Vec<u8>), Option<Vec<u8>>>;
/// Physical keys with their values, in order.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Read access to the tables, whatever the transaction.
pub(crate) trait Source {
    /// The value at `key`.
    fn get(&self, shelf: Shelf, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;
    /// Rows from `from` on while `prefix` holds, at most `limit`.
    fn scan(&self, shelf: Shelf, prefix: &[u8], limit: usize) -> Result<Rows, Fault>;
}

/// The three tables of one transaction.
pub(crate) struct Shelves<T> {
    /// [`RECORDS`].
    pub(crate) records: T,
    /// [`NAMES`].
    pub(crate) names: T,
    /// [`EXPIRY`].
    pub(crate) expiry: T,
}

impl<T> Shelves<T> {
    fn of(&self, shelf: Shelf) -> &T {
        match shelf {
            Shelf::Records => &self.records,
            Shelf::Names => &self.names,
            Shelf::Expiry => &self.expiry,
        }
    }

    fn of_mut(&mut self, shelf: Shelf) -> &mut T {
        match shelf {
            Shelf::Records => &mut self.records,
            Shelf::Names => &mut self.names,
            Shelf::Expiry => &mut self.expiry,
        }
    }
}

impl Shelves<redb::Table<'_, &'static [u8], &'static [u8]>> {
    /// Carries out what a session held back.
    pub(crate) fn apply(&mut self, writes: Pending) -> Result<(), Fault> {
        for ((shelf, key), value) in writes {
            let table = self.of_mut(shelf);
            match value {
                Some(value) => drop(table.insert(key.as_slice(), value.as_slice())?),
                None => drop(table.remove(key.as_slice())?),
            }
        }
        Ok(())
    }
}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> Source for Shelves<T> {
    fn get(&self, shelf: Shelf, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.of(shelf).get(key)?.map(|value| value.value().to_vec()))
    }

    fn scan(&self, shelf: Shelf, prefix: &[u8], limit: usize) -> Result<Rows, Fault> {
        let mut rows = Vec::new();
        for row in self.of(shelf).range(prefix..)? {
            let (key, value) = row?;
            if rows.len() >= limit || !key.value().starts_with(prefix) {
                break;
            }
            rows.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(rows)
    }
}

/// The records as one request sees them.
pub(crate) struct Session<'a> {
    source: &'a dyn Source,
    /// Keys, token tags and randomness.
    pub(crate) barrier: &'a Barrier,
    /// The time of this request.
    pub(crate) now: Timestamp,
    pending: Pending,
    pinned: Pending,
    changes: Vec<Change>,
}

impl<'a> Session<'a> {
    /// A session over `source`; `pending` holds what earlier requests of the same transaction wrote.
    pub(crate) fn new(source: &'a dyn Source, barrier: &'a Barrier, now: Timestamp) -> Self {
        Self { source, barrier, now, pending: Pending::new(), pinned: Pending::new(), changes: Vec::new() }
    }

    /// Keeps what was written so far even if the request is refused later (a use of a limited token counts anyway).
    pub(crate) fn pin(&mut self) {
        self.pinned.clone_from(&self.pending);
    }

    /// Forgets what was written since [`Session::pin`].
    pub(crate) fn roll_back(&mut self) {
        self.pending.clone_from(&self.pinned);
        self.changes.clear();
    }

    /// Whether there is anything to commit.
    pub(crate) fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    /// What is to be written and announced.
    pub(crate) fn into_writes(self) -> (Pending, Vec<Change>) {
        (self.pending, self.changes)
    }

    /// Announces a change once it is committed.
    pub(crate) fn announce(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// The record `name`, as `T`. `kind` is for messages.
    pub(crate) fn read<T: DeserializeOwned>(&self, kind: &'static str, name: &str) -> Result<Option<T>, Fault> {
        let key = self.barrier.record_key(name);
        let Some(sealed) = self.fetch(Shelf::Records, &key)? else { return Ok(None) };
        let plain = self.barrier.decrypt(RECORDS_NAME, &key, &sealed)?;
        // EXPOSE: decoding is what the bytes came for.
        serde_json::from_slice(plain.expose()).map(Some).map_err(|_| Fault::Shape(kind))
    }

    /// Whether the record `name` is there.
    pub(crate) fn exists(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.fetch(Shelf::Records, &self.barrier.record_key(name))?.is_some())
    }

    /// Writes the record `name`.
    pub(crate) fn write<T: Serialize>(
        &mut self,
        kind: &'static str,
        name: &str,
        value: &T,
        listed: Listed,
    ) -> Result<(), Fault> {
        let plain = Secret::new(serde_json::to_vec(value).map_err(|_| Fault::Shape(kind))?);
        let key = self.barrier.record_key(name);
        // EXPOSE: encrypted at once.
        let sealed = self.barrier.encrypt(RECORDS_NAME, &key, plain.expose())?;
        self.pending.insert((Shelf::Records, key), Some(sealed));
        if listed == Listed::Yes {
            self.add_entry(name)?;
        }
        Ok(())
    }

    /// Removes the record `name`, if it is there.
    pub(crate) fn remove(&mut self, name: &str, listed: Listed) -> Result<(), Fault> {
        let key = self.barrier.record_key(name);
        self.pending.insert((Shelf::Records, key), None);
        if listed == Listed::Yes {
            self.remove_entry(name)?;
        }
        Ok(())
    }

    /// Names in `folder` (which ends in `/`), sorted; folders end in `/`.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<String>, Fault> {
        let mut names = Vec::new();
        for (key, sealed) in self.rows(Shelf::Names, &self.barrier.folder_prefix(folder), usize::MAX)? {
            let plain = self.barrier.decrypt(NAMES_NAME, &key, &sealed)?;
            // EXPOSE: a name, not a value.
            names.push(plain.expose_str().ok_or(Fault::Shape("name"))?.to_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Remembers that the token `tag` ends at `second`.
    pub(crate) fn note_expiry(&mut self, second: i64, tag: &str) {
        self.pending.insert((Shelf::Expiry, expiry_key(second, tag)), Some(Vec::new()));
    }

    /// Forgets an end noted before.
    pub(crate) fn forget_expiry(&mut self, second: i64, tag: &str) {
        self.pending.insert((Shelf::Expiry, expiry_key(second, tag)), None);
    }

    /// Tags of up to `limit` tokens that have ended, with their second.
    pub(crate) fn expired(&self, limit: usize) -> Result<Vec<(i64, String)>, Fault> {
        let rows = self.rows(Shelf::Expiry, &[], limit)?;
        let ended = rows.into_iter().filter_map(|(key, _)| {
            let (second, tag) = key.split_first_chunk::<8>()?;
            let second = i64::from_be_bytes(*second);
            (second <= self.now.as_second()).then(|| String::from_utf8(tag.to_vec()).ok().map(|tag| (second, tag)))?
        });
        Ok(ended.collect())
    }

    fn add_entry(&mut self, name: &str) -> Result<(), Fault> {
        let (mut folder, mut entry) = split(name);
        loop {
            let key = self.barrier.entry_key(folder, entry);
            if self.fetch(Shelf::Names, &key)?.is_some() {
                return Ok(());
            }
            let sealed = self.barrier.encrypt(NAMES_NAME, &key, entry.as_bytes())?;
            self.pending.insert((Shelf::Names, key), Some(sealed));
            if folder.is_empty() {
                return Ok(());
            }
            (folder, entry) = split(folder);
        }
    }

    fn remove_entry(&mut self, name: &str) -> Result<(), Fault> {
        let (mut folder, mut entry) = split(name);
        loop {
            self.pending.insert((Shelf::Names, self.barrier.entry_key(folder, entry)), None);
            let prefix = self.barrier.folder_prefix(folder);
            if folder.is_empty() || !self.rows(Shelf::Names, &prefix, 1)?.is_empty() {
                return Ok(());
            }
            (folder, entry) = split(folder);
        }
    }

    fn fetch(&self, shelf: Shelf, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        match self.pending.get(&(shelf, key.to_vec())) {
            Some(held) => Ok(held.clone()),
            None => self.source.get(shelf, key),
        }
    }

    /// Rows of the file with the held-back writes laid over them.
    fn rows(&self, shelf: Shelf, prefix: &[u8], limit: usize) -> Result<Rows, Fault> {
        let held: Vec<_> = self
            .pending
            .range((shelf, prefix.to_vec())..)
            .take_while(|((at, key), _)| *at == shelf && key.starts_with(prefix))
            .collect();
        let removed = held.iter().filter(|(_, value)| value.is_none()).count();
        let stored = self.source.scan(shelf, prefix, limit.saturating_add(removed))?;
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = stored.into_iter().collect();
        for ((_, key), value) in held {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().take(limit).collect())
    }
}

/// Splits `a/b/c` into `a/b/` and `c`, `a/b/` into `a/` and `b/`, `a` into nothing and `a`.
fn split(name: &str) -> (&str, &str) {
    let body = name.strip_suffix('/').unwrap_or(name);
    match body.rfind('/') {
        Some(slash) => name.split_at(slash + 1),
        None => ("", name),
    }
}

fn expiry_key(second: i64, tag: &str) -> Vec<u8> {
    [second.max(0).to_be_bytes().as_slice(), tag.as_bytes()].concat()
}

/// Shelf name in the AAD of records.
const RECORDS_NAME: &str = "records";
/// Shelf name in the AAD of names.
const NAMES_NAME: &str = "names";

/// An empty source, for tests and for the first request of a new file.
#[cfg(test)]
pub(crate) struct Nothing;

#[cfg(test)]
impl Source for Nothing {
    fn get(&self, _: Shelf, _: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }

    fn scan(&self, _: Shelf, _: &[u8], _: usize) -> Result<Rows, Fault> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn barrier() -> Barrier {
        Barrier::new(&Secret::new(vec![7; 32])).unwrap()
    }

    #[test]
    fn names_split_at_their_last_inner_slash() {
        assert_eq!(split("a/b/c"), ("a/b/", "c"));
        assert_eq!(split("a/b/"), ("a/", "b/"));
        assert_eq!(split("a/"), ("", "a/"));
        assert_eq!(split("a"), ("", "a"));
    }

    #[test]
    fn a_refused_request_leaves_only_what_was_pinned() {
        let barrier = barrier();
        let mut session = Session::new(&Nothing, &barrier, Timestamp::UNIX_EPOCH);
        session.write("t", "kept", &1, Listed::Yes).unwrap();
        session.pin();
        session.write("t", "gone", &2, Listed::Yes).unwrap();
        session.roll_back();
        assert_eq!(session.read::<u8>("t", "kept").unwrap(), Some(1));
        assert_eq!(session.read::<u8>("t", "gone").unwrap(), None);
        assert_eq!(session.list("").unwrap(), ["kept"]);
    }

    #[test]
    fn tokens_come_out_in_the_order_of_their_end() {
        let barrier = barrier();
        let mut session = Session::new(&Nothing, &barrier, Timestamp::from_second(100).unwrap());
        session.note_expiry(101, "later");
        session.note_expiry(100, "now");
        session.note_expiry(7, "long ago");
        assert_eq!(session.expired(8).unwrap(), [(7, "long ago".to_owned()), (100, "now".to_owned())]);
        session.forget_expiry(7, "long ago");
        assert_eq!(session.expired(1).unwrap(), [(100, "now".to_owned())]);
    }

    proptest! {
        #[test]
        fn listing_equals_a_plain_set_of_paths(steps in proptest::collection::vec(("[ab](/[abc]){0,3}", any::<bool>()), 1..40)) {
            let barrier = barrier();
            let mut session = Session::new(&Nothing, &barrier, Timestamp::UNIX_EPOCH);
            let mut model = BTreeSet::new();
            for (path, keep) in steps {
                if keep {
                    session.write("t", &path, &0, Listed::Yes).unwrap();
                    model.insert(path);
                } else {
                    session.remove(&path, Listed::Yes).unwrap();
                    model.remove(&path);
                }
            }
            for folder in ["", "a/", "a/b/", "b/", "b/c/a/"] {
                let expected: BTreeSet<String> = model.iter().filter_map(|path| path.strip_prefix(folder)).map(|rest| {
                    match rest.split_once('/') {
                        Some((first, _)) => format!("{first}/"),
                        None => rest.to_owned(),
                    }
                }).collect();
                prop_assert_eq!(session.list(folder).unwrap(), expected.into_iter().collect::<Vec<_>>());
            }
        }
    }
}
