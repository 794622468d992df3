//! How fast the audit trail can be written: masking, encoding, and appending to SQLite.
//!
//! Run it with `cargo bench --bench audit`. Each figure is the median of five runs over fresh data; appending goes to a
//! new file in the temporary folder each time, one batch after the other, as the audit writer does it.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use deodar::audit::{Config, Mask, MaskConfig, encode};
use deodar::model::{Clock, DecisionId, Effect, Reason, Record, SystemClock, Timestamp};
use deodar::store::embedded::EmbeddedStore;
use deodar::store::{Decisions, Place, RecordHead, Store, StoredRecord};
use sha2::{Digest, Sha256};

const RECORDS: u32 = 100_000;
const RUNS: usize = 5;

fn main() -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut masking, mut encoding, mut appending) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let mut records = (0..RECORDS).map(record).collect::<Result<Vec<_>, _>>()?;
        let mask = Mask::new(MaskConfig::default());
        masking.push(timed(&clock, || records.iter_mut().for_each(|record| mask.apply(record))));
        let mut bytes = Vec::with_capacity(records.len());
        encoding.push(timed(&clock, || bytes.extend(records.iter().map(encode))));
        let heads = records
            .iter()
            .zip(&bytes)
            .map(|(record, bytes)| head(record, bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let stored: Vec<_> =
            heads.iter().zip(&bytes).map(|(head, bytes)| StoredRecord { head, bytes }).collect();
        appending.push(runtime.block_on(append(&clock, &stored))?);
    }
    say("mask", masking)?;
    say("encode", encoding)?;
    say("append", appending)
}

async fn append(clock: &SystemClock, records: &[StoredRecord<'_>]) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let store = EmbeddedStore::open(&folder.path().join("deodar.db")).await?;
    store.migrate().await?;
    let begun = clock.monotonic();
    for batch in records.chunks(Config::default().batch.get()) {
        store.append_records(batch).await?;
    }
    let took = clock.monotonic().saturating_sub(begun);
    store.close().await;
    Ok(took)
}

fn timed(clock: &SystemClock, work: impl FnOnce()) -> Duration {
    let begun = clock.monotonic();
    work();
    clock.monotonic().saturating_sub(begun)
}

fn say(what: &str, mut runs: Vec<Duration>) -> anyhow::Result<()> {
    runs.sort();
    let median = runs.get(runs.len() / 2).copied().unwrap_or_default().as_secs_f64();
    let (each_us, per_second) = (median * 1e6 / f64::from(RECORDS), f64::from(RECORDS) / median);
    writeln!(std::io::stdout(), "{what:8} {each_us:8.3} us/record {per_second:12.0} records/s")?;
    Ok(())
}

/// A record as a gateway's call leaves it: a thousand principals, fifty endpoints, one denial in ten.
fn record(number: u32) -> anyhow::Result<Record<'static>> {
    let denied = number.is_multiple_of(10);
    let spread = number.wrapping_mul(2_654_435_761);
    Ok(Record {
        id: DecisionId::generate(),
        at: Timestamp::from_micros(1_795_341_600_000_000_i64.saturating_add(i64::from(number) * 20)),
        replica: "replica-1".into(),
        pep: "gateway-1".parse()?,
        domain: "default".parse()?,
        principal: Some(format!("User::https-idp/user-{:04}", spread % 1_000).into()),
        issuer: Some("https-idp".into()),
        token_sha256: Some([0xab; 32]),
        session: Some(format!("session-{}", spread % 1_000).into()),
        oauth_client: Some("web".into()),
        action: "read".into(),
        resource: format!("orders/GET /orders/{{id}}/items-{}", spread % 50).into(),
        path: Some(format!("/orders/{number}/items?expand=lines&page=2").into()),
        source_ip: Some("192.0.2.7".into()),
        payload_sha256: Sha256::digest(number.to_be_bytes()).into(),
        effect: if denied { Effect::Deny } else { Effect::Allow },
        enforced: true,
        reason: if denied { Reason::NoMatchingPermit } else { Reason::Allowed },
        refusals: if denied { vec![Reason::NoMatchingPermit] } else { Vec::new() },
        policies: vec!["clerks-read-orders".into()],
        policy_errors: Vec::new(),
        detail: denied.then(|| "no_matching_permit: no policy permits this".into()),
        bundle: Some(format!("sha256:{}", "ef".repeat(32)).into()),
        revision: "0000000000000abc.42".into(),
        risk_score: 12,
        risk_level: 0,
        risk_reasons: vec!["new_network".into()],
        duration_us: 212,
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
    })
}

/// What a record is found by, in its bytes.
fn head(record: &Record<'_>, bytes: &[u8]) -> anyhow::Result<RecordHead> {
    let place = |text: &str| {
        let offset = bytes.windows(text.len()).position(|window| window == text.as_bytes());
        let offset = offset.context("a text is not in its record")?;
        anyhow::Ok(Place { offset: offset.try_into()?, length: text.len().try_into()? })
    };
    Ok(RecordHead {
        id: record.id,
        at: record.at,
        effect: record.effect,
        enforced: record.enforced,
        pep: place(record.pep.as_str())?,
        principal: record.principal.as_deref().map(place).transpose()?,
        resource: place(&record.resource)?,
        reason: place(record.reason.as_str())?,
    })
}
