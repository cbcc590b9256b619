//! `vouchsafe-broker`, the program. Wipes every block of memory on release.

use std::process::ExitCode;

use clap::Parser;
use vouchsafe_broker::config::Config;
use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

#[derive(Parser)]
#[command(name = "vouchsafe-broker", version, about)]
struct Line {
    #[command(flatten)]
    config: Config,
}

fn main() -> ExitCode {
    vouchsafe_broker::start(Line::parse().config)
}
