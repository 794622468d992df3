//! `policy schema`: the vocabulary that every policy may use.

use clap::Args;

use crate::cli::Global;
use crate::cli::exit::Exit;
use crate::policy::{self, VOCABULARY};

const AFTER_HELP: &str = "\
Examples:
  deodar policy schema > api.cedarschema
  deodar policy schema --output json";

/// Prints the built-in vocabulary as a Cedar schema; with `--output json` in Cedar's JSON form.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct PrintSchema {}

impl PrintSchema {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let json = policy::vocabulary_json()?;
        global.printer().result(&json, |_| VOCABULARY.to_owned())?;
        Ok(Exit::Success)
    }
}
