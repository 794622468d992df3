//! `policy test`: runs the test cases of a bundle.

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::Bundle;
use crate::cli::exit::Exit;
use crate::cli::output::{self, Colour};
use crate::cli::{Global, words};
use crate::policy::cases::{self, CaseResult};
use crate::policy::{Limits, directory};

const AFTER_HELP: &str = "\
Examples:
  deodar policy test policies/zero-trust policies/demo
  deodar policy test ./policies --filter refund

Cases are YAML files in folders named `cases` (or the Cedar CLI's run-tests JSON).
Exit codes: 0 all pass, 1 some fail or cannot be run.";

/// Runs the test cases of policies.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Test {
    #[command(flatten)]
    bundle: Bundle,
    /// Only cases whose file or name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// The results, as they are printed.
#[derive(Debug, Serialize)]
struct Report {
    passed: usize,
    failed: usize,
    cases: Vec<CaseView>,
}

#[derive(Debug, Serialize)]
struct CaseView {
    file: String,
    name: String,
    passed: bool,
    failures: Vec<String>,
    effect: Option<&'static str>,
    reason: Option<&'static str>,
    policy_ids: Vec<String>,
}

impl Test {
    pub(super) fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let limits = Limits::default();
        let source = directory::read(&self.bundle.directories, &limits)?;
        let files = directory::read_cases(&self.bundle.directories, &limits)?;
        let results = cases::run(&source, &files, &limits)?;
        let wanted = |result: &&CaseResult| match &self.filter {
            Some(text) => result.name.contains(text) || result.file.contains(text),
            None => true,
        };
        let cases: Vec<_> = results.iter().filter(wanted).map(view).collect();
        if cases.is_empty() {
            // A run that tests nothing must not look like one in which all is well.
            bail!("there is no such case: {} files with cases were read", files.len());
        }
        let passed = cases.iter().filter(|case| case.passed).count();
        let report = Report { passed, failed: cases.len() - passed, cases };
        global.printer().result(&report, human)?;
        Ok(Exit::success_if(report.failed == 0))
    }
}

fn view(result: &CaseResult) -> CaseView {
    let got = result.got.as_ref();
    CaseView {
        file: result.file.clone(),
        name: result.name.clone(),
        passed: result.passed(),
        failures: result.failures.clone(),
        effect: got.map(|got| got.reason.effect().as_str()),
        reason: got.map(|got| got.reason.as_str()),
        policy_ids: got.into_iter().flat_map(|got| &got.policies).map(ToString::to_string).collect(),
    }
}

fn human(report: &Report) -> String {
    let rows = report.cases.iter().map(|case| {
        [
            if case.passed { "pass".to_owned() } else { "FAIL".to_owned() },
            case.file.clone(),
            case.name.clone(),
            case.reason.unwrap_or("not asked").to_owned(),
            words::commas(&case.policy_ids),
        ]
    });
    let table = output::table(["result", "file", "case", "answer", "policies"], rows);
    let failures: String = report.cases.iter().filter(|case| !case.passed).map(failure).collect();
    let (verdict, colour) = if report.failed == 0 { ("PASS", Colour::Green) } else { ("FAIL", Colour::Red) };
    format!(
        "{table}\n{failures}\n{}  {} passed, {} failed",
        colour.paint(verdict),
        report.passed,
        report.failed
    )
}

fn failure(case: &CaseView) -> String {
    let why = case.failures.iter().map(|why| format!("  {}\n", output::printable(why)));
    format!("\n{}: {}\n{}", case.file, case.name, why.collect::<String>())
}
