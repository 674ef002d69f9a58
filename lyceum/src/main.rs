//! The `lyceum` command with everything that is built in.

use std::process::ExitCode;

/// glibc gives large blocks back to the system after each tensor; training then takes 3 to 4 times as long.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lyceum::main_with(lyceum::registry())
}
