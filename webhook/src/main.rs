//! `vouchsafe-webhook`, the program.

use std::process::ExitCode;

use clap::Parser as _;
use vouchsafe_webhook::options::Options;

fn main() -> ExitCode {
    vouchsafe_webhook::start(Options::parse())
}
