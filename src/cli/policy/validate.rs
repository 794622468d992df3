//! `policy validate`: everything that is wrong with a bundle, with file, line and the text around.

use clap::Args;
use serde::Serialize;

use super::Bundle;
use crate::cli::Global;
use crate::cli::exit::Exit;
use crate::cli::output::Colour;
use crate::policy::{Finding, Limits, Severity, Snapshot, directory};

const AFTER_HELP: &str = "\
Examples:
  deodar policy validate policies/zero-trust policies/demo
  deodar policy validate ./policies --output json

Exit codes: 0 valid (warnings or not), 1 not valid.";

/// Validates policies strictly against the schema, as a server does before it uses them.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Validate {
    #[command(flatten)]
    bundle: Bundle,
}

/// The verdict, as it is printed.
#[derive(Debug, Serialize)]
struct Verdict {
    valid: bool,
    digest: String,
    /// How many policies there are; unknown while there are errors.
    policies: Option<usize>,
    errors: Vec<FindingView>,
    warnings: Vec<FindingView>,
}

#[derive(Debug, Serialize)]
struct FindingView {
    file: String,
    line: usize,
    column: usize,
    message: String,
    policy_id: Option<String>,
    #[serde(skip)]
    rendered: String,
}

impl Validate {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let limits = Limits::default();
        let source = directory::read(&self.bundle.directories, &limits)?;
        let digest = source.digest().to_string();
        let verdict = match Snapshot::compile(&source, &limits, None) {
            Ok((snapshot, warnings)) => Verdict {
                valid: true,
                digest,
                policies: Some(snapshot.policy_count()),
                errors: Vec::new(),
                warnings: warnings.iter().map(view).collect(),
            },
            Err(errors) => {
                let (errors, warnings): (Vec<_>, Vec<_>) =
                    errors.findings().iter().partition(|finding| finding.severity == Severity::Error);
                let views = |findings: Vec<&Finding>| findings.into_iter().map(view).collect();
                let (errors, warnings) = (views(errors), views(warnings));
                Verdict { valid: false, digest, policies: None, errors, warnings }
            }
        };
        global.printer().result(&verdict, human)?;
        Ok(Exit::success_if(verdict.valid))
    }
}

fn view(finding: &Finding) -> FindingView {
    FindingView {
        file: finding.file.clone(),
        line: finding.line,
        column: finding.column,
        message: finding.message.clone(),
        policy_id: finding.policy.as_ref().map(ToString::to_string),
        rendered: finding.rendered.clone(),
    }
}

fn human(verdict: &Verdict) -> String {
    let findings = verdict.errors.iter().chain(&verdict.warnings);
    let findings = findings.map(|finding| format!("{}\n", finding.rendered.trim_end())).collect::<String>();
    let warnings = count(verdict.warnings.len(), "warning");
    let summary = match verdict.policies {
        Some(policies) => {
            let policies = if policies == 1 { "1 policy".to_owned() } else { format!("{policies} policies") };
            format!("{}  {policies}, {warnings}, bundle {}", Colour::Green.paint("VALID"), verdict.digest)
        }
        None => {
            let errors = count(verdict.errors.len(), "error");
            format!("{}  {errors}, {warnings}", Colour::Red.paint("NOT VALID"))
        }
    };
    format!("{findings}{summary}")
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
