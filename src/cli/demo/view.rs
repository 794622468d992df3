//! What the demo prints: a line a decision, and what to try afterwards.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::api::pb::decision as pb;
use crate::api::plain;
use crate::app::Running;
use crate::cli::output::Colour;

/// One decision of the story.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub step: usize,
    pub title: &'static str,
    pub call: String,
    pub effect: &'static str,
    pub reason: String,
    pub message: String,
    pub policies: Vec<String>,
    pub principal: String,
    pub endpoint: String,
    pub risk: RiskTold,
    pub www_authenticate: Option<String>,
    pub decision_id: String,
    /// From the question to the answer, at the client.
    pub latency_us: u64,
}

/// The risk that the policies saw.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RiskTold {
    pub score: u32,
    pub level: u32,
    pub reasons: Vec<String>,
}

impl Told {
    pub fn new(
        step: usize,
        title: &'static str,
        method: &str,
        (host, path): (&str, &str),
        decision: &pb::Decision,
        latency: Duration,
    ) -> Self {
        let risk = decision.risk.as_ref();
        Self {
            step,
            title,
            call: format!("{method} https://{host}{path}"),
            effect: plain::effect(decision.effect),
            reason: plain::reason(decision.reason),
            message: decision.message.clone(),
            policies: decision.policy_ids.clone(),
            principal: decision.principal.clone(),
            endpoint: decision.endpoint.clone(),
            risk: risk.map(told_risk).unwrap_or_default(),
            www_authenticate: decision.challenge.as_ref().map(|challenge| challenge.www_authenticate.clone()),
            decision_id: decision.decision_id.clone(),
            latency_us: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// A row of the table; see [`heading`].
    pub fn row(&self) -> String {
        let colour = if self.effect == "allow" { Colour::Green } else { Colour::Red };
        let effect = colour.paint(&format!("{:EFFECT$}", self.effect));
        let policies = if self.policies.is_empty() { "-".to_owned() } else { self.policies.join(", ") };
        let risk = self.risk.score.to_string();
        let latency = format!("{} us", self.latency_us);
        format!(
            "{:>2}  {:TITLE$}  {effect}  {:REASON$}  {risk:>RISK$}  {latency:>LATENCY$}  {policies}",
            self.step, self.title, self.reason
        )
    }
}

/// Widths of the columns. Rows are printed as they come, so nothing can be measured first.
const TITLE: usize = 48;
const EFFECT: usize = 6;
const REASON: usize = 20;
const RISK: usize = 4;
const LATENCY: usize = 8;

/// The names of the columns.
pub fn heading() -> String {
    format!(
        "{:>2}  {:TITLE$}  {:EFFECT$}  {:REASON$}  {:>RISK$}  {:>LATENCY$}  {}",
        "#", "STEP", "EFFECT", "REASON", "RISK", "LATENCY", "POLICIES"
    )
}

fn told_risk(risk: &pb::Risk) -> RiskTold {
    let reasons = risk.reasons.iter().map(|reason| reason.kind.clone()).collect();
    RiskTold { score: risk.score, level: risk.level, reasons }
}

/// How many decisions, and how many different reasons, there were.
pub fn summary(told: &[Told]) -> String {
    let allowed = told.iter().filter(|told| told.effect == "allow").count();
    let reasons: BTreeSet<&str> = told.iter().map(|told| told.reason.as_str()).collect();
    format!(
        "\n{} decisions: {allowed} allowed, {} denied, for {} different reasons. Each one is recorded.",
        told.len(),
        told.len() - allowed,
        reasons.len()
    )
}

/// What to try; `LAST` stands for the id of the story's last decision.
const TO_TRY: [&str; 7] = [
    "deodar token mint bob --role clerk --scope orders:read > /tmp/bob.jwt",
    "deodar check GET https://orders.example.com/orders/7 --token-file /tmp/bob.jwt --explain",
    "deodar signal record principal:User::dev/bob account_disabled --source me",
    "deodar check GET https://orders.example.com/orders/7 --token-file /tmp/bob.jwt",
    "deodar risk get principal:User::dev/bob",
    "deodar decision get LAST",
    "deodar decision list --effect deny",
];

/// Commands that work as they stand, in another terminal.
pub fn what_to_try(running: &Running, folder: &Path, config: &Path, told: &[Told]) -> String {
    let (decisions, management) = (running.decisions_url(), running.management_url());
    let last = told.last().map(|told| told.decision_id.as_str()).unwrap_or_default();
    let folder = folder.display();
    let program =
        std::env::current_exe().map_or_else(|_| "deodar".to_owned(), |path| path.display().to_string());
    let commands = TO_TRY.map(|command| format!("  {}", command.replace("LAST", last))).join("\n");
    format!(
        "
The server stays up: decisions at {decisions}, management at {management}. Ctrl-C stops it. In another terminal:

  alias deodar='{program}'
  export DEODAR_DATA_DIR={folder} DEODAR_SERVER={decisions} DEODAR_MANAGEMENT={management}
{commands}

Edit a policy in {folder}/policies/ and ask again; or serve the same later: deodar serve --config {}
",
        config.display()
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn what_to_try_can_be_tried() {
        for command in TO_TRY {
            let command = command.replace("LAST", "01a203b4-79ff-7b1e-8a27-142896ef7b37");
            let words = command.split_whitespace().take_while(|word| *word != ">");
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{command}: {parsed:?}");
        }
    }
}
