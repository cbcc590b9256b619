//! The original engine, built from tests/godiff where Go is at hand.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program, or says in one sentence why not.
pub(crate) fn build() -> Option<PathBuf> {
    if let Some(ready) = std::env::var_os("VOUCHSAFE_GODIFF") {
        return Some(ready.into());
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/godiff");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("godiff");
    let built = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(source).output();
    match built {
        Ok(output) if output.status.success() => Some(program),
        Ok(_) => {
            println!("skipped: tests/godiff does not build here, its modules may be out of reach");
            None
        }
        Err(_) => {
            println!("skipped: there is no Go on this machine to compare with");
            None
        }
    }
}
