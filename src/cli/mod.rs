//! The command line: the tree of subcommands, one file each.
//!
//! Commands that concern a running server are clients of its API and have no other way in; the rest (`policy`,
//! `config`, `token`, `db`) work on files and need no server. Results go to standard output, messages to standard error.

mod bench;
mod check;
mod client;
mod config;
mod connect;
mod db;
mod decision;
mod demo;
mod exit;
mod inspect;
mod key;
mod output;
mod paging;
mod policy;
mod principal;
mod revocation;
mod revoke;
mod risk;
mod serve;
mod signal;
mod status;
mod token;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};

use crate::api::dial::Trust;
pub use exit::Exit;
use output::{Format, Output};

const AFTER_HELP: &str = "\
Examples:
  deodar demo                                  See it decide, with nothing to set up
  deodar serve --config deodar.toml            Run a server
  deodar check GET https://orders.example.com/orders/7 --token-file token.jwt

Exit codes:
  0  success; for `check`: allow
  1  an error, a policy that is not valid, a case that fails
  2  the command line is wrong
  3  for `check`: deny

Without --key-file the CLI presents the key in DEODAR_KEY, or the one it finds in the data directory:
`gateway.key` for `check`, `administrator.key` for everything else. With --tls-cert it presents only a key that was named.";

/// A policy decision point for zero-trust APIs.
#[derive(Debug, Parser)]
#[command(name = "deodar", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    output: Format,
    /// The decision listener.
    #[arg(
        long,
        global = true,
        env = "DEODAR_SERVER",
        default_value = "http://127.0.0.1:7350",
        value_name = "URL"
    )]
    server: String,
    /// The management listener.
    #[arg(
        long,
        global = true,
        env = "DEODAR_MANAGEMENT",
        default_value = "http://127.0.0.1:7351",
        value_name = "URL"
    )]
    management: String,
    /// A file that holds the client key to present. The variable DEODAR_KEY can hold the key itself.
    #[arg(long, global = true, env = "DEODAR_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// For https: a PEM file with the authorities that vouch for the listeners [default: those of the system].
    #[arg(long, global = true, env = "DEODAR_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// For https: a PEM file with a certificate to show, for listeners that want one.
    #[arg(long, global = true, env = "DEODAR_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// For https: a PEM file with the key of that certificate.
    #[arg(long, global = true, env = "DEODAR_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The server's data directory, where keys are looked for [default: the user's data folder].
    #[arg(long, global = true, env = "DEODAR_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Global {
    fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(crate::app::config::default_data_dir)
    }

    /// What goes with TLS, for the listener at `url`. Refused where there is none: whoever names an authority must not find the
    /// client key on an open line, nor a certificate that nobody was shown.
    fn trust_for(&self, option: &str, url: &str) -> anyhow::Result<Trust> {
        let named =
            [("--ca-file", &self.ca_file), ("--tls-cert", &self.tls_cert), ("--tls-key", &self.tls_key)];
        let plaintext = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
        if let Some((idle, _)) = named.iter().find(|(_, file)| plaintext && file.is_some()) {
            let variable = idle.trim_start_matches('-').replace('-', "_").to_uppercase();
            bail!(
                "{idle} (DEODAR_{variable}) has no effect on {url}, which is plaintext; write https:// in {option} where the \
                 listener speaks TLS, or leave {idle} out"
            );
        }
        Ok(self.trust())
    }

    fn trust(&self) -> Trust {
        Trust { ca_file: self.ca_file.clone(), certificate: self.tls_cert.clone(), key: self.tls_key.clone() }
    }

    const fn printer(&self) -> Output {
        Output::new(self.output)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Check(Box<check::Check>),
    Bench(Box<bench::Bench>),
    Policy(policy::Policy),
    Signal(signal::Signal),
    Risk(risk::Risk),
    Decision(decision::Decision),
    Revoke(revoke::Revoke),
    Revocation(revocation::Revocation),
    Principal(principal::Principal),
    Client(client::Client),
    Status(status::Status),
    Token(token::Token),
    Db(db::Db),
    Config(config::Config),
}

/// Runs the command and says how it ended. Errors are told on standard error, causes included.
pub fn run(cli: Cli) -> ExitCode {
    let ended = start(cli);
    let exit = ended.unwrap_or_else(|error| {
        output::complain(&error);
        Exit::Failure
    });
    exit.into()
}

fn start(cli: Cli) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start the threads that everything runs on")?.block_on(dispatch(cli))
}

async fn dispatch(Cli { global, command }: Cli) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(demo) => demo.run(&global).await,
        Command::Serve(serve) => serve.run(&global).await,
        Command::Check(check) => check.run(&global).await,
        Command::Bench(bench) => bench.run(&global).await,
        Command::Policy(policy) => policy.run(&global),
        Command::Signal(signal) => signal.run(&global).await,
        Command::Risk(risk) => risk.run(&global).await,
        Command::Decision(decision) => decision.run(&global).await,
        Command::Revoke(revoke) => revoke.run(&global).await,
        Command::Revocation(revocation) => revocation.run(&global).await,
        Command::Principal(principal) => principal.run(&global).await,
        Command::Client(client) => client.run(&global).await,
        Command::Status(status) => status.run(&global).await,
        Command::Token(token) => token.run(&global).await,
        Command::Db(db) => db.run(&global).await,
        Command::Config(config) => config.run(&global),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn leaves<'a>(command: &'a clap::Command, path: &str, found: &mut Vec<(String, &'a clap::Command)>) {
        let path = format!("{path}{} ", command.get_name());
        if command.get_subcommands().next().is_none() {
            found.push((path, command));
        } else {
            command.get_subcommands().for_each(|inner| leaves(inner, &path, found));
        }
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        let tree = Cli::command();
        let mut found = Vec::new();
        leaves(&tree, "", &mut found);
        assert!(found.len() > 15);
        for (path, command) in found {
            assert!(command.get_about().is_some(), "{path}has no sentence");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = after.lines().any(|line| line.trim_start().starts_with(path.trim_end()));
            assert!(example, "{path}has no example");
        }
    }

    /// Words as a shell takes them; what stands between single quotes is one word, or part of one.
    fn shell_words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for (index, part) in line.split('\'').enumerate() {
            let mut pieces = if index % 2 == 0 { part.split(' ').collect() } else { vec![part] }.into_iter();
            words.last_mut().unwrap().push_str(pieces.next().unwrap_or_default());
            words.extend(pieces.map(str::to_owned));
        }
        words.retain(|word| !word.is_empty());
        words
    }

    /// The first shell command of each example line parses: help that does not work teaches the wrong thing.
    #[test]
    fn every_example_parses() {
        let tree = Cli::command();
        let mut found = vec![(String::new(), &tree)];
        leaves(&tree, "", &mut found);
        for (_, command) in found {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in after.lines().filter_map(|line| line.trim_start().strip_prefix("deodar ")) {
                let line = line
                    .split("  ")
                    .next()
                    .unwrap()
                    .split(" > ")
                    .next()
                    .unwrap()
                    .split(" < ")
                    .next()
                    .unwrap();
                let words = shell_words(&line.replace("$(deodar token mint alice)", "eyJ"));
                let parsed = Cli::try_parse_from(std::iter::once("deodar".to_owned()).chain(words));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }
}
