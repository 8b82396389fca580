//! The `viridian` program.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Measured: the system's allocator took a sixth of the time of a promotion.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    viridian::main()
}
