//! The program `vouchsafe-controller`.

use std::process::ExitCode;

use clap::Parser as _;
use vouchsafe_controller::config::Arguments;
use zeroizing_alloc::ZeroAlloc;

/// Wipes every block on release: private keys pass through buffers that no type of ours owns.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    vouchsafe_controller::start(Arguments::parse())
}
