//! The programs under test: where they lie and how they are started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::outcome::{Failure, Outcome, ensure};

/// The programs under test.
pub(crate) struct Programs {
    pub(crate) broker: PathBuf,
    pub(crate) webhook: PathBuf,
    /// Static: it goes into an image of its own.
    pub(crate) sidecar: PathBuf,
    /// The command line, for `audit verify`.
    pub(crate) cli: PathBuf,
}

impl Programs {
    /// Finds them below cargo's target folder; the command line and the webhook need not be there for the memory gate.
    pub(crate) fn find(target: &Path, for_cluster: bool) -> Outcome<Self> {
        let release = target.join("release");
        let programs = Self {
            broker: release.join("vouchsafe-broker"),
            webhook: release.join("vouchsafe-webhook"),
            sidecar: target.join("x86_64-unknown-linux-musl/image/vouchsafe-sidecar"),
            cli: release.join("vouchsafe"),
        };
        let needed = [&programs.broker, &programs.sidecar, &programs.webhook, &programs.cli];
        for program in needed.iter().take(if for_cluster { 4 } else { 2 }) {
            ensure(program.is_file(), || {
                format!("{} is not built: start this suite by tests/smoke/run.sh", program.display())
            })?;
        }
        Ok(programs)
    }

    /// Arguments of a broker with its own store in `folder`, which is made on the first start.
    pub(crate) fn broker_arguments(command: &mut Command, folder: &Path, tls: &Path, listen: &str) {
        command.args(["--listen", listen]).arg("--tls-folder").arg(tls);
        command.arg("--trust-bundle").arg(tls.join("ca.crt"));
        command.arg("--audit-folder").arg(Self::audit_folder(folder));
        command.arg("--store").arg(folder.join("store")).arg("--store-key").arg(folder.join("store.key"));
        command.arg("--store-create").arg(folder.join("root-token")).env("VOUCHSAFE_LOG", "trace");
    }

    /// The audit log of a broker in `folder`.
    pub(crate) fn audit_folder(folder: &Path) -> PathBuf {
        folder.join("audit")
    }

    /// The token that came out when the store of a broker in `folder` was made.
    pub(crate) fn root_token(folder: &Path) -> Outcome<String> {
        let file = folder.join("root-token");
        let token = fs::read_to_string(&file).map_err(|error| Failure(format!("{}: {error}", file.display())))?;
        Ok(token.trim().to_owned())
    }
}
