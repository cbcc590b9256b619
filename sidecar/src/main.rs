//! vouchsafe-sidecar: see the library. Memory is wiped when it is freed.

use std::path::Path;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    vouchsafe_sidecar::main_with(Path::new("/"), std::env::args_os().skip(1).collect(), |name| std::env::var(name).ok())
}
