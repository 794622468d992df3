//! Deodar without its check of tokens, its risk and its audit trail, with the commands of the program: what the three cost is
//! the difference. `scripts/bench-peers` asks it beside the others.

use std::process::ExitCode;

use clap::Parser;
use deodar::cli::{self, Cli};
use mimalloc::MiMalloc;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run(Cli::parse())
}
