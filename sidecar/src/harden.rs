//! What keeps values out of dumps and messages: no core file, no other process's look, panics without their text.

use std::io::Write as _;

use rustix::process::{Resource, Rlimit};

/// For the process that holds secrets.
pub(crate) fn holder() {
    // Lowering one's own limit cannot fail.
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    unreadable();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// For every process of ours; an app started by it is readable again.
pub(crate) fn unreadable() {
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
    std::panic::set_hook(Box::new(|panic| {
        // The panic's text could hold a value; its place cannot.
        let place = panic.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        let _ = writeln!(std::io::stderr(), "vouchsafe-sidecar: a mistake of ours{place}; please report it");
    }));
}
