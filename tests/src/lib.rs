//! Suites across crates. What they share stands here: finding the workspace and the built programs.

mod bench;
pub mod dynamic;
mod faults;
pub mod install;
pub mod smoke;

use std::path::{Path, PathBuf};

/// Root folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
