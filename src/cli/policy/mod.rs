//! `policy schema|validate|test`: work on policy files, without a server.

mod schema;
mod test;
mod validate;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Global;
use super::exit::Exit;

/// Work on policy files: the vocabulary, validation, test cases.
#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Schema(schema::PrintSchema),
    Validate(validate::Validate),
    Test(test::Test),
}

impl Policy {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self.command {
            Command::Schema(schema) => schema.run(global),
            Command::Validate(validate) => validate.run(global),
            Command::Test(test) => test.run(global),
        }
    }
}

/// The directories of one bundle.
#[derive(Debug, Args)]
struct Bundle {
    /// Directories with `*.cedar`, `*.cedarschema`, `cedarentities.json` and `cases/`; several make one bundle.
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
}
