//! The binary: the allocator, and the command line's exit code.

use std::process::ExitCode;

/// 1.18 × the requests a second and 0.85 × the CPU of the system's allocator, for some idle memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    hallgate::cli::main()
}
