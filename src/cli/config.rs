//! `config print|check|docs`: every setting, and whether a file is right.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::{Global, output, serve};
use crate::app::reference;

/// Print every setting, or check a configuration file.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Print(Print),
    Check(Check),
    Docs(Docs),
}

impl Config {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self.command {
            Command::Print(print) => print.run(global),
            Command::Check(check) => check.run(global),
            Command::Docs(docs) => docs.run(global),
        }
    }
}

const PRINT_HELP: &str = "\
Example:
  deodar config print > deodar.toml";

/// Prints a configuration file with every setting, its meaning, unit and default.
#[derive(Debug, Args)]
#[command(after_help = PRINT_HELP)]
struct Print {}

impl Print {
    fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let text = reference::toml()?;
        global.printer().result(&reference::defaults()?, |_| text)?;
        Ok(Exit::Success)
    }
}

const CHECK_HELP: &str = "\
Examples:
  deodar config check deodar.toml
  deodar config check deodar.toml --output json

Reads what a server would read before it listens: the file, the environment, key sets, API documents, policies.
Nothing is written and no database is opened.";

/// Checks a configuration file, and the files that it names.
#[derive(Debug, Args)]
#[command(after_help = CHECK_HELP)]
struct Check {
    /// The configuration file.
    file: PathBuf,
}

/// The verdict, as it is printed.
#[derive(Debug, Serialize)]
struct Checked {
    valid: bool,
    warnings: Vec<String>,
}

impl Check {
    fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let config = serve::load(Some(&self.file), global)?;
        let checked = Checked { valid: true, warnings: crate::app::verify(&config)? };
        global.printer().result(&checked, |checked| {
            let warnings = checked.warnings.iter();
            let warnings = warnings.map(|one| format!("warning: {}\n", output::printable(one)));
            format!("{}{} is right", warnings.collect::<String>(), self.file.display())
        })?;
        Ok(Exit::Success)
    }
}

const DOCS_HELP: &str = "\
Example:
  deodar config docs > docs/configuration.md";

/// Prints the configuration reference of the documentation, as Markdown.
#[derive(Debug, Args)]
#[command(hide = true, after_help = DOCS_HELP)]
struct Docs {}

impl Docs {
    fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let text = reference::markdown()?;
        global.printer().result(&text, Clone::clone)?;
        Ok(Exit::Success)
    }
}
