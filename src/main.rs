//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use deodar::cli::{self, Cli};
use mimalloc::MiMalloc;

/// Records are allocated by decision threads and freed by the writer, which the system's allocator does at a price.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
