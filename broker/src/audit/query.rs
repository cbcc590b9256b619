//! Queries: the records of a log that somebody asks for. Reading only; run `verify` to know whether they were edited.

use std::io::{self, BufRead, BufReader};
use std::path::Path;

use vouchsafe_model::record::{Record, parse, unseal};
use vouchsafe_model::text::quoted;

use super::file_names;

/// Which records are wanted. Empty fields want all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A path and everything below it, as the API has it (`secret/data/argocd`) or as Grants write it (`secret/argocd`).
    pub path: Option<String>,
    /// Name or UID of a pod.
    pub pod: Option<String>,
    /// Kubernetes namespace.
    pub namespace: Option<String>,
    /// RFC 3339, UTC: not before.
    pub since: Option<String>,
    /// RFC 3339, UTC: before.
    pub until: Option<String>,
}

impl Filter {
    /// Brings the times into the form of the records, so that they compare as text.
    pub fn normalised(mut self) -> Result<Self, String> {
        for (name, time) in [("since", &mut self.since), ("until", &mut self.until)] {
            if let Some(text) = time {
                let parsed: jiff::Timestamp = text
                    .parse()
                    .map_err(|_| format!("{name} {}: write a time such as 2026-08-01T10:00:00Z", quoted(text)))?;
                *text = format!("{parsed:.6}");
            }
        }
        Ok(self)
    }

    /// Whether a record is wanted.
    pub fn matches(&self, record: &Record) -> bool {
        let entry = &record.entry;
        let workload = entry.workload.as_ref();
        let is_path = |wanted: &String| {
            is_below(&entry.path, wanted) || without_kv_word(&entry.path).is_some_and(|path| is_below(&path, wanted))
        };
        let is_pod = |wanted: &String| {
            workload.is_some_and(|workload| {
                workload.pod.as_ref().is_some_and(|pod| pod.as_str() == wanted)
                    || workload.pod_uid.as_ref().is_some_and(|uid| uid.as_str() == wanted)
            })
        };
        let is_namespace = |wanted: &String| workload.is_some_and(|workload| workload.namespace.as_str() == wanted);
        self.path.as_ref().is_none_or(is_path)
            && self.pod.as_ref().is_none_or(is_pod)
            && self.namespace.as_ref().is_none_or(is_namespace)
            && self.since.as_ref().is_none_or(|since| record.time >= *since)
            && self.until.as_ref().is_none_or(|until| record.time < *until)
    }
}

/// Whether `path` is `folder` or lies below it; a slash at the end of `folder` makes no difference.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `secret/argocd/x` for `secret/data/argocd/x`.
fn without_kv_word(path: &str) -> Option<String> {
    let (mount, rest) = path.split_once('/')?;
    let (word, rest) = rest.split_once('/')?;
    KV_WORDS.contains(&word).then(|| format!("{mount}/{rest}"))
}

/// What KV v2 puts between mount and path.
const KV_WORDS: [&str; 6] = ["data", "metadata", "delete", "undelete", "destroy", "subkeys"];

/// Gives every wanted record of a folder's log to `found`, oldest first, until it returns `false`.
pub fn query_folder(folder: &Path, filter: &Filter, mut found: impl FnMut(Record) -> bool) -> io::Result<()> {
    for name in file_names(folder)? {
        let reader = BufReader::new(std::fs::File::open(folder.join(name))?);
        for line in reader.split(b'\n') {
            let line = line?;
            let record = std::str::from_utf8(&line).ok().and_then(unseal).and_then(|(text, _)| parse(&text).ok());
            if record.filter(|record| filter.matches(record)).is_some_and(|record| !found(record)) {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vouchsafe_model::Workload;
    use vouchsafe_model::record::{Entry, NO_PREVIOUS, Phase, RECORD_VERSION};

    use super::*;

    fn record() -> Record {
        let mut entry = Entry::new(Phase::Outcome);
        entry.path = "secret/data/a/b".to_owned();
        entry.workload = Some(Workload {
            namespace: "argocd".parse().unwrap(),
            service_account: "dex".parse().unwrap(),
            pod: Some("dex-1".parse().unwrap()),
            pod_uid: Some("uid-1".parse().unwrap()),
        });
        let time = "2026-08-01T10:00:00.000000Z".to_owned();
        Record { v: RECORD_VERSION, sequence: 1, time, entry, previous: NO_PREVIOUS.to_owned() }
    }

    #[test]
    fn each_field_filters_alone() {
        let filter = |set: fn(&mut Filter)| {
            let mut filter = Filter::default();
            set(&mut filter);
            filter.normalised().unwrap().matches(&record())
        };
        assert!(filter(|_| ()));
        assert!(filter(|f| f.path = Some("secret/data/a/b".to_owned())));
        for path in ["secret/data/a/", "secret/data/a", "secret", "secret/a", "secret/a/b"] {
            let filter = Filter { path: Some(path.to_owned()), ..Filter::default() };
            assert!(filter.matches(&record()), "{path}");
        }
        for path in ["secret/data/a/bb", "secret/data/a/b/c", "sec", "secret/b"] {
            let filter = Filter { path: Some(path.to_owned()), ..Filter::default() };
            assert!(!filter.matches(&record()), "{path}");
        }
        assert!(filter(|f| f.pod = Some("dex-1".to_owned())) && filter(|f| f.pod = Some("uid-1".to_owned())));
        assert!(!filter(|f| f.pod = Some("dex".to_owned())));
        assert!(filter(|f| f.namespace = Some("argocd".to_owned())));
        assert!(!filter(|f| f.namespace = Some("argo".to_owned())));
        assert!(filter(|f| f.since = Some("2026-08-01T10:00:00Z".to_owned())));
        assert!(!filter(|f| f.since = Some("2026-08-01T10:00:01Z".to_owned())));
        assert!(!filter(|f| f.until = Some("2026-08-01T06:00:00-04:00".to_owned())));
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        let filter = Filter { since: Some("yesterday".to_owned()), ..Filter::default() };
        assert!(filter.normalised().unwrap_err().contains("since"));
    }
}
