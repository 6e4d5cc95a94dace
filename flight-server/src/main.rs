//! The `quiver` program; everything it does is in [`quiver_flight_server::cli`].

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    quiver_flight_server::cli::run()
}
