//! The program `vouchsafe-controller`.

use std::process::ExitCode;

use clap::Parser as _;
use vouchsafe_controller::config::Arguments;

fn main() -> ExitCode {
    vouchsafe_controller::start(Arguments::parse())
}
