//! Parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use deodar::cli::{self, Cli};
use mimalloc::MiMalloc;

#[cfg(feature = "bare")]
compile_error!(
    "a server checks every token and records every decision: the feature `bare` is for examples/bare.rs only"
);

/// Records are allocated by decision threads and freed by the writer, which the system's allocator does at a price.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
