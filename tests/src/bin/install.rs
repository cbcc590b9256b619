//! `install`: the chart on a real node; see `tests/install/run.sh`, which builds what it needs and cleans up after it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    vouchsafe_tests::install::main(&vouchsafe_tests::workspace(), &arguments)
}
