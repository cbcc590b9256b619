//! `Fault`: why the store itself failed, as opposed to what it answers. It becomes an [`UpstreamError`].

use vouchsafe_model::Kind;

use crate::upstream::UpstreamError;

/// A failure of the store's own machinery. Holds no content of any record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The file cannot be read or written.
    #[error("the store file cannot be read or written: {0}")]
    Disk(String),
    /// A record does not decrypt: changed, damaged, or moved from another place.
    #[error("a record on shelf {0:?} is damaged or was changed outside of the store; restore the file from a backup")]
    Corrupt(&'static str),
    /// A record decrypts but has an unknown shape.
    #[error("a record of kind {0:?} has a shape that this version does not know; use the version that wrote it")]
    Shape(&'static str),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// A key has the wrong length or the cipher refused it.
    #[error("an encryption key has the wrong length")]
    Key,
    /// The store's writer has ended.
    #[error("the store is shutting down")]
    Closed,
}

impl Fault {
    /// As the front sees it; `may_have_happened` says whether a write may be on disk all the same.
    pub(crate) fn into_error(self, may_have_happened: bool) -> UpstreamError {
        let kind = match self {
            Self::Disk(_) | Self::Random | Self::Closed => Kind::Unavailable,
            Self::Corrupt(_) | Self::Shape(_) | Self::Key => Kind::Internal,
        };
        UpstreamError { kind, message: format!("embedded store: {self}"), may_have_happened }
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Fault {
            fn from(error: redb::$error) -> Self {
                Self::Disk(error.to_string())
            }
        })*
    };
}
from_redb!(StorageError, TableError, TransactionError, CommitError, SetDurabilityError);
