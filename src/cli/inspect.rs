//! `token inspect`: what a server would make of a token, check by check. Needs no server.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use super::exit::Exit;
use super::output::{self, Colour};
use super::{Global, serve, words};
use crate::app::{CheckReport, CheckResult, TokenReport, inspect_token};
use crate::model::{Clock, Secret, SystemClock, Timestamp};

const HELP: &str = "\
Examples:
  deodar token inspect --config deodar.toml token.jwt
  deodar token inspect --config deodar.toml - < token.jwt
  deodar token inspect --config deodar.toml token.jwt --output json
  deodar token inspect token.jwt --at 2026-11-25T10:00:00Z

The same verifier as in a server, with the issuers and trust domains of the configuration file; without any, with the
development issuer of the data directory. The token is never printed. Ends with 0 when the token is accepted and with 1 when it is not.
Revocations and proofs of possession are a running server's to check.";

/// Shows each check of a token, and the principal and context that policies would see.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct Inspect {
    /// The file that holds the token, or `-` for standard input. Never the token itself: every process of the machine
    /// can read a command line.
    file: PathBuf,
    /// The configuration file with the issuers.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Judge it as of this moment (RFC 3339) [default: now].
    #[arg(long, value_name = "MOMENT", value_parser = words::parse_moment)]
    at: Option<Timestamp>,
}

/// More than any token that a server would read.
const MAX_BYTES: u64 = 1024 * 1024;

impl Inspect {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let token = self.token()?;
        let config = serve::load(self.config.as_deref(), global)?;
        let clock = SystemClock::new();
        let now = self.at.unwrap_or_else(|| clock.now());
        let report = inspect_token(config, &token, now, &clock).await?;
        global.printer().result(&report, human)?;
        Ok(Exit::success_if(report.accepted))
    }

    fn token(&self) -> anyhow::Result<Secret> {
        let mut text = String::new();
        if self.file.as_os_str() == "-" {
            let read = std::io::stdin().take(MAX_BYTES).read_to_string(&mut text);
            read.context("cannot read the token from standard input")?;
        } else if self.looks_like_a_token() {
            bail!("this is no file, and looks like a token; put it into a file or on standard input (`-`)");
        } else {
            let failed = || format!("cannot read the token from {}", self.file.display());
            let file = std::fs::File::open(&self.file).with_context(failed)?;
            file.take(MAX_BYTES).read_to_string(&mut text).with_context(failed)?;
        }
        Ok(Secret::new(text.trim()))
    }

    /// A message about a file that is not there would print it.
    fn looks_like_a_token(&self) -> bool {
        let text = self.file.to_string_lossy();
        !self.file.exists() && (text.starts_with("eyJ") || text.len() > 64 && text.matches('.').count() >= 2)
    }
}

fn human(report: &TokenReport) -> String {
    let checks = output::table(["check", "result", "detail"], report.checks.iter().map(row));
    let facts = facts(report);
    let facts = output::fields(facts.iter().map(|(name, value)| (name.as_str(), value.clone())));
    let verdict = match &report.refusal {
        None => Colour::Green.paint("accepted"),
        Some(refusal) => format!("{} as {}", Colour::Red.paint("refused"), refusal.reason),
    };
    format!("{checks}\n\n{facts}\n\n{verdict}")
}

fn row(check: &CheckReport) -> [String; 3] {
    let (result, detail) = match (check.result, &check.refusal) {
        (CheckResult::Passed, _) => ("passed", check.question.to_owned()),
        (CheckResult::NotReached, _) => ("not reached", check.question.to_owned()),
        (CheckResult::Failed, None) => ("failed", check.question.to_owned()),
        (CheckResult::Failed, Some(refusal)) => ("failed", refusal.detail.clone()),
    };
    [check.check.to_owned(), result.to_owned(), detail]
}

fn facts(report: &TokenReport) -> Vec<(String, String)> {
    let header = &report.header;
    let mut facts: Vec<(&str, String)> = vec![
        ("issuer", report.issuer.clone().unwrap_or_default()),
        ("algorithm", header.algorithm.clone().unwrap_or_default()),
        ("key", header.key_id.clone().unwrap_or_default()),
        ("type", header.r#type.clone().unwrap_or_default()),
    ];
    if let Some(lifetime) = &report.lifetime {
        facts.push(("issued", lifetime.issue_time.clone()));
        facts.push(("expires", lifetime.expire_time.clone()));
        facts
            .push(("accepted until", format!("{} ({} s left)", lifetime.accept_until, lifetime.remaining_s)));
    }
    facts.extend(report.dropped.iter().map(|note| ("dropped", note.clone())));
    let mut facts: Vec<_> = facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in [("principal", &report.principal), ("context", &report.context)] {
        value.iter().for_each(|value| flatten(name, value, &mut facts));
    }
    facts
}

/// A line for each leaf: `context.token.scopes`. An empty set is worth a line, because policies see it.
fn flatten(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(member, value)| flatten(&format!("{name}.{member}"), value, lines));
        }
        Value::String(text) => lines.push((name.to_owned(), text.clone())),
        other => lines.push((name.to_owned(), other.to_string())),
    }
}
