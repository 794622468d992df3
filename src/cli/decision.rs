//! `decision list|get|refusals`: the records of decisions, and what was refused before it could become one.

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::exit::Exit;
use super::paging::Paging;
use super::{Global, connect, output, words};
use crate::api::pb::{decision, manage as pb};
use crate::api::plain;
use crate::model::{ClientId, DecisionId, Reason, Timestamp};

/// Find recorded decisions, and refusals of callers.
#[derive(Debug, Args)]
pub struct Decision {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(Box<List>),
    Get(Get),
    Refusals(Refusals),
}

impl Decision {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self.command {
            Command::List(list) => list.run(global).await,
            Command::Get(get) => get.run(global).await,
            Command::Refusals(refusals) => refusals.run(global).await,
        }
    }
}

const LIST_HELP: &str = "\
Examples:
  deodar decision list --effect deny
  deodar decision list --principal User::dev/alice --from 2026-11-22T10:00:00Z --all --output json";

/// Lists recorded decisions, newest first.
#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct List {
    /// Only of this principal: `User::<issuer>/<subject>`.
    #[arg(long, default_value = "")]
    principal: String,
    /// Only about this endpoint (`orders/GET /orders/{id}`) or Cedar resource.
    #[arg(long, default_value = "")]
    resource: String,
    /// Only with this effect.
    #[arg(long, value_enum)]
    effect: Option<EffectWord>,
    /// Only with this reason, for example `forbidden_by_policy`.
    #[arg(long, value_parser = parse_reason)]
    reason: Option<Reason>,
    /// Only asked by this client.
    #[arg(long, value_name = "CLIENT")]
    pep: Option<ClientId>,
    /// Only at or after this moment (RFC 3339).
    #[arg(long, value_name = "MOMENT", value_parser = words::parse_moment)]
    from: Option<Timestamp>,
    /// Only before this moment (RFC 3339).
    #[arg(long, value_name = "MOMENT", value_parser = words::parse_moment)]
    until: Option<Timestamp>,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EffectWord {
    Allow,
    Deny,
}

fn parse_reason(name: &str) -> Result<Reason, String> {
    Reason::parse(name).ok_or_else(|| {
        let names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        format!("there is no such reason; the reasons are {}", names.join(", "))
    })
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let server = connect::management(global).await?;
        let listed = self.paging.fetch(async |page_size, page_token| {
            let answer = server.list_decision_records(self.request(page_size, page_token)).await?;
            Ok((answer.records, answer.next_page_token))
        });
        let listed = listed.await?.map(RecordView::from);
        let heading = ["decision", "time", "effect", "reason", "principal", "resource", "risk", "policies"];
        global.printer().result(&listed, |listed| listed.table(heading, row))?;
        Ok(Exit::Success)
    }

    fn request(&self, page_size: i32, page_token: String) -> pb::ListDecisionRecordsRequest {
        let effect = match self.effect {
            None => decision::Effect::Unspecified,
            Some(EffectWord::Allow) => decision::Effect::Allow,
            Some(EffectWord::Deny) => decision::Effect::Deny,
        };
        pb::ListDecisionRecordsRequest {
            page_size,
            page_token,
            principal: self.principal.clone(),
            resource: self.resource.clone(),
            effect: effect.into(),
            reason: self.reason.map(plain::from_reason).unwrap_or_default(),
            pep: self.pep.clone().map(String::from).unwrap_or_default(),
            from_time: self.from.map(plain::from_moment),
            until_time: self.until.map(plain::from_moment),
        }
    }
}

const GET_HELP: &str = "\
Example:
  deodar decision get 019a9f3c-0000-7000-8000-000000000000";

/// Shows the whole record of one decision.
#[derive(Debug, Args)]
#[command(after_help = GET_HELP)]
struct Get {
    /// The id that the answer carried.
    decision_id: DecisionId,
}

impl Get {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::GetDecisionRecordRequest { decision_id: self.decision_id.to_string() };
        let answer = connect::management(global).await?.get_decision_record(request).await?;
        let record = answer.record.context("the server answered without the record")?;
        global.printer().result(&RecordView::from(record), human)?;
        Ok(Exit::Success)
    }
}

const REFUSALS_HELP: &str = "\
Example:
  deodar decision refusals";

/// Lists calls that never became a decision (unknown keys, missing roles, overload), counted by minute.
#[derive(Debug, Args)]
#[command(after_help = REFUSALS_HELP)]
struct Refusals {
    #[command(flatten)]
    paging: Paging,
}

impl Refusals {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let server = connect::management(global).await?;
        let listed = self.paging.fetch(async |page_size, page_token| {
            let answer = server.list_refusals(pb::ListRefusalsRequest { page_size, page_token }).await?;
            Ok((answer.refusals, answer.next_page_token))
        });
        let listed = listed.await?.map(RefusalView::from);
        global.printer().result(&listed, |listed| {
            listed.table(["minute", "kind", "peer", "count", "first rpc", "replica"], |refusal| {
                [
                    words::short_moment(&refusal.minute),
                    refusal.kind.clone(),
                    refusal.peer.clone(),
                    refusal.count.to_string(),
                    refusal.sample.clone(),
                    refusal.replica.clone(),
                ]
            })
        })?;
        Ok(Exit::Success)
    }
}

/// A record as it is printed.
#[derive(Debug, Serialize)]
struct RecordView {
    decision_id: String,
    decide_time: String,
    replica: String,
    pep: String,
    domain: String,
    principal: String,
    issuer: String,
    token_sha256: String,
    session: String,
    oauth_client: String,
    action: String,
    resource: String,
    path: String,
    source_ip: String,
    payload_sha256: String,
    effect: &'static str,
    enforced: bool,
    reason: String,
    refusals: Vec<String>,
    policy_ids: Vec<String>,
    policy_errors: Vec<String>,
    detail: String,
    bundle_digest: String,
    revision: String,
    risk_score: u32,
    risk_level: u32,
    risk_reasons: Vec<String>,
    duration: String,
    trace_id: String,
}

impl From<pb::DecisionRecord> for RecordView {
    fn from(record: pb::DecisionRecord) -> Self {
        Self {
            decision_id: record.decision_id,
            decide_time: words::moment_or_empty(plain::moment(record.decide_time)),
            replica: record.replica,
            pep: record.pep,
            domain: record.domain,
            principal: record.principal,
            issuer: record.issuer,
            token_sha256: record.token_sha256,
            session: record.session,
            oauth_client: record.oauth_client,
            action: record.action,
            resource: record.resource,
            path: record.path,
            source_ip: record.source_ip,
            payload_sha256: record.payload_sha256,
            effect: plain::effect(record.effect),
            enforced: record.enforced,
            reason: plain::reason(record.reason),
            refusals: words::reasons(&record.refusals),
            policy_ids: record.policy_ids,
            policy_errors: record.policy_errors,
            detail: record.detail,
            bundle_digest: record.bundle_digest,
            revision: record.revision,
            risk_score: record.risk_score,
            risk_level: record.risk_level,
            risk_reasons: record.risk_reasons,
            duration: words::seconds(plain::span(record.duration).unwrap_or_default()),
            trace_id: record.trace_id,
        }
    }
}

fn row(record: &RecordView) -> [String; 8] {
    [
        record.decision_id.clone(),
        words::short_moment(&record.decide_time),
        effect_words(record),
        record.reason.clone(),
        record.principal.clone(),
        record.resource.clone(),
        record.risk_score.to_string(),
        words::commas(&record.policy_ids),
    ]
}

/// The effect; a denial that was only said is told apart.
fn effect_words(record: &RecordView) -> String {
    let observed = record.effect == "deny" && !record.enforced;
    if observed { "deny, not enforced".to_owned() } else { record.effect.to_owned() }
}

fn human(record: &RecordView) -> String {
    let risk = format!("{} of 100, level {}", record.risk_score, words::risk_level(record.risk_level));
    output::fields([
        ("decision", record.decision_id.clone()),
        ("time", record.decide_time.clone()),
        ("effect", effect_words(record)),
        ("reason", record.reason.clone()),
        ("refusals", words::commas(&record.refusals)),
        ("policies", words::commas(&record.policy_ids)),
        ("policy errors", record.policy_errors.join("; ")),
        ("detail", record.detail.clone()),
        ("asked by", record.pep.clone()),
        ("domain", record.domain.clone()),
        ("principal", record.principal.clone()),
        ("issuer", record.issuer.clone()),
        ("session", record.session.clone()),
        ("oauth client", record.oauth_client.clone()),
        ("token sha256", record.token_sha256.clone()),
        ("action", record.action.clone()),
        ("resource", record.resource.clone()),
        ("path", record.path.clone()),
        ("source ip", record.source_ip.clone()),
        ("risk", risk),
        ("risk reasons", words::commas(&record.risk_reasons)),
        ("bundle", record.bundle_digest.clone()),
        ("revision", record.revision.clone()),
        ("payload sha256", record.payload_sha256.clone()),
        ("took", record.duration.clone()),
        ("trace", record.trace_id.clone()),
        ("replica", record.replica.clone()),
    ])
}

/// Refused calls as they are printed.
#[derive(Debug, Serialize)]
struct RefusalView {
    replica: String,
    minute: String,
    kind: String,
    peer: String,
    count: u64,
    first_time: String,
    last_time: String,
    sample: String,
}

impl From<pb::Refusals> for RefusalView {
    fn from(refusals: pb::Refusals) -> Self {
        Self {
            replica: refusals.replica,
            minute: words::moment_or_empty(plain::moment(refusals.minute)),
            kind: refusals.kind,
            peer: refusals.peer,
            count: refusals.count,
            first_time: words::moment_or_empty(plain::moment(refusals.first_time)),
            last_time: words::moment_or_empty(plain::moment(refusals.last_time)),
            sample: refusals.sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_of_those_that_exist() {
        assert_eq!(parse_reason("revoked"), Ok(Reason::Revoked));
        assert!(parse_reason("because").unwrap_err().contains("forbidden_by_policy"));
    }

    #[test]
    fn a_denial_that_was_only_observed_says_so() {
        let record = |enforced| pb::DecisionRecord {
            effect: decision::Effect::Deny.into(),
            enforced,
            ..pb::DecisionRecord::default()
        };
        assert_eq!(effect_words(&RecordView::from(record(true))), "deny");
        assert_eq!(effect_words(&RecordView::from(record(false))), "deny, not enforced");
    }
}
