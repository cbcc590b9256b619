//! `vouchsafe-broker`, the program. Wipes every block of memory on release.

use std::process::ExitCode;

use clap::Parser;
use vouchsafe_broker::config::Config;
use vouchsafe_broker::verb::Verb;
use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

#[derive(Parser)]
#[command(name = "vouchsafe-broker", version, about, after_help = Verb::HELP)]
struct Line {
    #[command(flatten)]
    config: Config,
}

#[derive(Parser)]
#[command(name = "vouchsafe-broker", version)]
struct VerbLine {
    #[command(subcommand)]
    verb: Verb,
}

fn main() -> ExitCode {
    // The server's flags are required, a verb's line has none of them: two grammars, told apart by the first word.
    if std::env::args().nth(1).is_some_and(|word| Verb::is_named(&word)) {
        return vouchsafe_broker::verb::start(VerbLine::parse().verb);
    }
    vouchsafe_broker::start(Line::parse().config)
}
