//! The command as users get it, for the tests that start it as a process.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    lyceum::main_with(lyceum::registry())
}
