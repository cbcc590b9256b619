//! `Head`: the last record known durable, remembered beside the log so that a missing end is noticed.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What `head.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Number of the last durable record.
    pub sequence: u64,
    /// Its hash, 64 hex digits.
    pub hash: String,
    /// File that it stands in.
    pub file: String,
    /// Whether the broker ended in good order: nothing may follow then.
    pub closed: bool,
}

impl Head {
    /// Reads the head beside a log; `None` where there is none.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(folder.join(HEAD_FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{HEAD_FILE} is damaged (line {}, column {})", error.line(), error.column()),
                )
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the head in one step; not synced, because it only remembers.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let draft = folder.join(DRAFT_FILE);
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        std::fs::rename(draft, folder.join(HEAD_FILE))
    }
}

const HEAD_FILE: &str = "head.json";
const DRAFT_FILE: &str = "head.json.new";
