//! Who can read a delivered file: its mode, and the user of the sidecar.
//!
//! The sidecar is not root, so it cannot give files away. Readers get in as owner (the sidecar runs as the same user),
//! as group (the pod's `fsGroup`, which memory volumes carry), or as everybody in the container.

use std::collections::BTreeMap;

use vouchsafe_model::path::FileMode;

use super::wanted::Wanted;
use crate::pod::PodFacts;

/// Decided modes.
pub(super) struct Modes {
    /// One per wanted file.
    pub(super) modes: Vec<FileMode>,
    /// User that the sidecar must run as, if that is how readers get in.
    pub(super) run_as_user: Option<i64>,
}

/// How the readers get in.
enum Access {
    Group,
    Owner(i64),
    Everybody { why: &'static str },
}

/// Decides the mode of each file and warns where everybody must be let in, or nobody may get in.
pub(super) fn modes(wanted: &[Wanted<'_>], pod: &PodFacts, warnings: &mut Vec<String>) -> Modes {
    let access = access(wanted, pod);
    let default = match access {
        Access::Group | Access::Owner(_) => FileMode::READ_GROUP,
        Access::Everybody { .. } => FileMode::READ_ALL,
    };
    let mut open: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut modes = Vec::with_capacity(wanted.len());
    for file in wanted {
        let mode = file.entry.mode.unwrap_or(default);
        if let (None, Access::Everybody { .. }) = (file.entry.mode, &access) {
            open.entry(file.container.name.as_str()).or_default().push(file.entry.name.as_str());
        } else if !is_readable(mode, &access) {
            warnings.push(format!(
                "file {} of container {} has mode {mode}, but the sidecar owns it and the reader is not known to be its owner or in its group; set fsGroup in the pod's securityContext, or mode: \"0444\"",
                file.path(),
                file.container.name
            ));
        }
        modes.push(mode);
    }
    if let Access::Everybody { why } = access {
        for (container, files) in open {
            let message = format!(
                "every process in container {container} can read {} (mode 0444), because {why}; set fsGroup in the pod's securityContext for 0440",
                files.join(", ")
            );
            warnings.push(message);
        }
    }
    Modes { modes, run_as_user: if let Access::Owner(user) = access { Some(user) } else { None } }
}

fn access(wanted: &[Wanted<'_>], pod: &PodFacts) -> Access {
    if pod.fs_group.is_some() {
        return Access::Group;
    }
    let users: Vec<Option<i64>> = wanted.iter().map(|file| pod.uid(file.container)).collect();
    match users.first().copied().flatten() {
        _ if users.iter().any(Option::is_none) => {
            Access::Everybody { why: "the pod has no fsGroup and does not say which user the container runs as" }
        }
        Some(first) if users.iter().any(|user| *user != Some(first)) => {
            Access::Everybody { why: "the pod has no fsGroup and its readers run as different users" }
        }
        Some(0) => Access::Everybody {
            why: "the pod has no fsGroup and the container runs as root, which the sidecar does not",
        },
        Some(user) => Access::Owner(user),
        None => Access::Group,
    }
}

fn is_readable(mode: FileMode, access: &Access) -> bool {
    let bits = mode.bits();
    let everybody = bits & 0o004 != 0;
    match access {
        Access::Group => everybody || bits & 0o040 != 0,
        Access::Owner(_) => everybody || bits & 0o400 != 0,
        Access::Everybody { .. } => everybody,
    }
}
