//! `risk get`: the risk that a decision would see now.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::{Global, connect, output, words};
use crate::api::pb::manage as pb;
use crate::model::Subject;

/// See the risk of subjects, and why.
#[derive(Debug, Args)]
pub struct Risk {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Get(Get),
}

impl Risk {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let Command::Get(get) = self.command;
        get.run(global).await
    }
}

const GET_HELP: &str = "\
Examples:
  deodar risk get principal:User::dev/alice
  deodar risk get principal:User::dev/alice session:dev/s-1 prefix:203.0.113.0/24";

/// Tells the risk of a request by these subjects, were it made now.
#[derive(Debug, Args)]
#[command(after_help = GET_HELP)]
struct Get {
    /// The subjects of one request, at most one of each kind.
    #[arg(required = true, value_name = "SUBJECT")]
    subjects: Vec<Subject>,
}

impl Get {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let subjects = self.subjects.iter().map(ToString::to_string).collect();
        let request = pb::GetRiskRequest { subjects };
        let answer = connect::management(global).await?.get_risk(request).await?;
        global.printer().result(&RiskView::from(answer), human)?;
        Ok(Exit::Success)
    }
}

/// Risk as it is printed.
#[derive(Debug, Serialize)]
struct RiskView {
    score: u32,
    level: u32,
    confidence: u32,
    contributions: Vec<ContributionView>,
    stale: bool,
    flags: Vec<String>,
    revision: String,
}

#[derive(Debug, Serialize)]
struct ContributionView {
    kind: String,
    points: u32,
    text: String,
}

impl From<pb::GetRiskResponse> for RiskView {
    fn from(risk: pb::GetRiskResponse) -> Self {
        let contributions = risk.contributions.into_iter();
        let contributions =
            contributions.map(|one| ContributionView { kind: one.kind, points: one.points, text: one.text });
        Self {
            score: risk.score,
            level: risk.level,
            confidence: risk.confidence,
            contributions: contributions.collect(),
            stale: risk.stale,
            flags: risk.flags,
            revision: risk.revision,
        }
    }
}

fn human(risk: &RiskView) -> String {
    let facts = output::fields([
        ("score", format!("{} of 100", risk.score)),
        ("level", format!("{} ({})", risk.level, words::risk_level(risk.level))),
        ("confidence", format!("{} of 100", risk.confidence)),
        ("flags", words::commas(&risk.flags)),
        ("stale", if risk.stale { "yes".to_owned() } else { String::new() }),
        ("revision", risk.revision.clone()),
    ]);
    if risk.contributions.is_empty() {
        return facts;
    }
    let rows = risk.contributions.iter();
    let rows = rows.map(|one| [format!("+{}", one.points), one.kind.clone(), one.text.clone()]);
    format!("{facts}\n\n{}", output::table(["points", "kind", "because"], rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risk_is_printed_with_what_it_is_made_of() {
        let contribution =
            pb::RiskContribution { kind: "new_network".into(), points: 47, text: "seen".into() };
        let answer = pb::GetRiskResponse {
            score: 47,
            level: 2,
            confidence: 90,
            contributions: vec![contribution],
            flags: vec!["session_revoked".into()],
            ..pb::GetRiskResponse::default()
        };
        let text = human(&RiskView::from(answer));
        let wanted = "\
score       47 of 100
level       2 (medium)
confidence  90 of 100
flags       session_revoked

POINTS  KIND         BECAUSE
+47     new_network  seen";
        assert_eq!(text, wanted);
    }
}
