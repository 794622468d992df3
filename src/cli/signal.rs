//! `signal record|list|clear`: facts about subjects that change trust.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::paging::Paging;
use super::{Global, connect, output, words};
use crate::api::pb::manage::{self as pb, signal::Life};
use crate::api::plain;
use crate::model::{SignalId, Subject, Timestamp};

/// Record, list and clear signals: facts about a subject that change how far it is trusted.
#[derive(Debug, Args)]
pub struct Signal {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Record(Record),
    List(List),
    Clear(Clear),
}

impl Signal {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        match self.command {
            Command::Record(record) => record.run(global).await,
            Command::List(list) => list.run(global).await,
            Command::Clear(clear) => clear.run(global).await,
        }
    }
}

const RECORD_HELP: &str = "\
Examples:
  deodar signal record session:dev/s-1 session_revoked --until-cleared
  deodar signal record principal:User::dev/alice new_network --strength 0.8 --half-life 1h --source waf-eu-1

A subject is principal:User::<issuer>/<subject>, session:<issuer>/<sid>, token:<issuer>/<jti>,
token:sha256/<hex>, device:<namespace>/<id> or prefix:<cidr> (/24 or /48).";

/// Records a signal; every replica counts it within moments.
#[derive(Debug, Args)]
#[command(after_help = RECORD_HELP)]
struct Record {
    /// What it is about.
    subject: Subject,
    /// A registered kind, for example `new_network`.
    kind: String,
    /// How strong the observation is, above 0 and up to 1 [default: 1].
    #[arg(long, value_name = "NUMBER")]
    strength: Option<f64>,
    /// How sure the source is, above 0 and up to 1 [default: 1].
    #[arg(long, value_name = "NUMBER")]
    confidence: Option<f64>,
    /// Its weight halves each time this passes [default: as its kind says].
    #[arg(long, value_name = "TIME", value_parser = words::parse_span, conflicts_with = "until_cleared")]
    half_life: Option<Duration>,
    /// It counts in full until it is cleared.
    #[arg(long)]
    until_cleared: bool,
    /// Who saw it, in the sensor's own words.
    #[arg(long, default_value = "deodar-cli")]
    source: String,
    /// What was seen, for people; no secrets.
    #[arg(long, value_name = "TEXT", default_value = "")]
    evidence: String,
    /// The same key again refreshes the signal instead of adding a second one.
    #[arg(long, value_name = "KEY", default_value = "")]
    dedup_key: String,
    /// When it was seen (RFC 3339) [default: now].
    #[arg(long, value_name = "MOMENT", value_parser = words::parse_moment)]
    observe_time: Option<Timestamp>,
}

impl Record {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::RecordSignalsRequest { signals: vec![self.signal()] };
        let answer = connect::management(global).await?.record_signals(request).await?;
        let recorded = answer.signals.into_iter().next().context("the server recorded nothing")?;
        written(global, recorded, answer.revision)
    }

    fn signal(self) -> pb::Signal {
        let half_life = self.half_life.map(|span| Life::HalfLife(plain::from_span(span)));
        pb::Signal {
            subject: self.subject.to_string(),
            kind: self.kind,
            strength: self.strength,
            confidence: self.confidence,
            life: if self.until_cleared { Some(Life::UntilCleared(true)) } else { half_life },
            source: self.source,
            evidence: self.evidence,
            dedup_key: self.dedup_key,
            observe_time: self.observe_time.map(plain::from_moment),
            ..pb::Signal::default()
        }
    }
}

const LIST_HELP: &str = "\
Examples:
  deodar signal list
  deodar signal list --subject principal:User::dev/alice --include-cleared --output json";

/// Lists signals, newest first.
#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct List {
    /// Only about this subject.
    #[arg(long)]
    subject: Option<Subject>,
    /// Only of this kind.
    #[arg(long, default_value = "")]
    kind: String,
    /// Also those that were cleared.
    #[arg(long)]
    include_cleared: bool,
    #[command(flatten)]
    paging: Paging,
}

impl List {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let server = connect::management(global).await?;
        let listed = self.paging.fetch(async |page_size, page_token| {
            let subject = self.subject.as_ref().map(ToString::to_string).unwrap_or_default();
            let (kind, include_cleared) = (self.kind.clone(), self.include_cleared);
            let request = pb::ListSignalsRequest { page_size, page_token, subject, kind, include_cleared };
            let answer = server.list_signals(request).await?;
            Ok((answer.signals, answer.next_page_token))
        });
        let listed = listed.await?.map(SignalView::from);
        global.printer().result(&listed, |listed| listed.table(HEADING, row))?;
        Ok(Exit::Success)
    }
}

const CLEAR_HELP: &str = "\
Example:
  deodar signal clear 019a9f3c-0000-7000-8000-000000000000 --reason 'the owner confirmed it'";

/// Ends a signal: from then on it no longer counts.
#[derive(Debug, Args)]
#[command(after_help = CLEAR_HELP)]
struct Clear {
    /// The signal's id.
    signal_id: SignalId,
    /// Why; kept with the signal.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Clear {
    async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let request = pb::ClearSignalRequest { signal_id: self.signal_id.to_string(), reason: self.reason };
        let answer = connect::management(global).await?.clear_signal(request).await?;
        let cleared = answer.signal.context("the server answered without the signal")?;
        written(global, cleared, answer.revision)
    }
}

/// A signal as it is printed.
#[derive(Debug, Serialize)]
struct SignalView {
    signal_id: String,
    subject: String,
    kind: String,
    strength: f64,
    confidence: f64,
    half_life: Option<String>,
    until_cleared: bool,
    source: String,
    evidence: String,
    dedup_key: String,
    observe_time: String,
    recorded_by: String,
    record_time: String,
    cleared_by: String,
    clear_time: String,
    clear_reason: String,
}

impl From<pb::Signal> for SignalView {
    fn from(signal: pb::Signal) -> Self {
        let half_life = match signal.life {
            Some(Life::HalfLife(span)) => plain::span(Some(span)),
            _ => None,
        };
        Self {
            signal_id: signal.signal_id,
            subject: signal.subject,
            kind: signal.kind,
            strength: signal.strength.unwrap_or(1.0),
            confidence: signal.confidence.unwrap_or(1.0),
            half_life: half_life.map(words::seconds),
            until_cleared: matches!(signal.life, Some(Life::UntilCleared(true))),
            source: signal.source,
            evidence: signal.evidence,
            dedup_key: signal.dedup_key,
            observe_time: words::moment_or_empty(plain::moment(signal.observe_time)),
            recorded_by: signal.recorded_by,
            record_time: words::moment_or_empty(plain::moment(signal.record_time)),
            cleared_by: signal.cleared_by,
            clear_time: words::moment_or_empty(plain::moment(signal.clear_time)),
            clear_reason: signal.clear_reason,
        }
    }
}

/// A signal after a change, with the revision to wait for.
#[derive(Debug, Serialize)]
struct Written {
    signal: SignalView,
    revision: String,
}

fn written(global: &Global, signal: pb::Signal, revision: String) -> anyhow::Result<Exit> {
    let written = Written { signal: SignalView::from(signal), revision };
    global.printer().result(&written, |written| {
        let signal = &written.signal;
        output::fields([
            ("signal", signal.signal_id.clone()),
            ("subject", signal.subject.clone()),
            ("kind", signal.kind.clone()),
            ("counts", counts(signal)),
            ("revision", written.revision.clone()),
        ])
    })?;
    Ok(Exit::Success)
}

const HEADING: [&str; 7] = ["signal", "subject", "kind", "strength", "counts", "observed", "recorded by"];

fn row(signal: &SignalView) -> [String; 7] {
    [
        signal.signal_id.clone(),
        signal.subject.clone(),
        signal.kind.clone(),
        format!("{:.2}", signal.strength * signal.confidence),
        counts(signal),
        words::short_moment(&signal.observe_time),
        signal.recorded_by.clone(),
    ]
}

/// How long it counts, or who ended it.
fn counts(signal: &SignalView) -> String {
    if !signal.cleared_by.is_empty() {
        return format!("no, cleared by {}: {}", signal.cleared_by, signal.clear_reason);
    }
    match &signal.half_life {
        Some(half_life) => format!("half after {half_life}"),
        None => "until cleared".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(life: Option<Life>, cleared_by: &str) -> String {
        let cleared_by = cleared_by.to_owned();
        counts(&SignalView::from(pb::Signal { life, cleared_by, ..pb::Signal::default() }))
    }

    #[test]
    fn a_signal_tells_how_long_it_counts() {
        let hour = Life::HalfLife(plain::from_span(Duration::from_secs(3_600)));
        assert_eq!(shown(Some(hour), ""), "half after 3600s");
        assert_eq!(shown(Some(Life::UntilCleared(true)), ""), "until cleared");
        assert!(shown(Some(Life::UntilCleared(true)), "bob").starts_with("no, cleared by bob"));
    }
}
