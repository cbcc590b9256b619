//! No events: the belt alone notices changes, so it is tight.

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::time::Duration;

/// There is none.
pub(super) type Source = Infallible;

/// Never completes.
pub(super) async fn events(_source: Option<&Source>) -> bool {
    std::future::pending().await
}

/// Never succeeds.
pub(super) fn subscribe(_folder: &Path) -> io::Result<Source> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How long a change can stay unnoticed.
pub(super) const BELT: Duration = Duration::from_secs(5);
