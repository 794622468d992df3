//! What is known about the call or question, as Cedar values: those that the policies at hand can read.
//!
//! Durations are whole seconds and times whole milliseconds, because Cedar's own time types cost microseconds each.
//! Who and what are entities, and built in `entities`; which facts are read is found in `reads`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy_core::ast::{Context, EntityUID, Literal, Value};

use super::condition::extension_value;
use super::entities::{NAMES, Unbuildable, long, reference, set, text, truth};
use super::prepared::TokenSets;
use super::reads::{Fact, Reads};
use super::schema::Filled;
use crate::model::{Rate, Rates, Risk, Timestamp, TokenFacts};

/// What the PEP says of the device, and whether anybody knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceView<'a> {
    pub known: bool,
    pub id: Option<&'a str>,
    pub compliant: Option<bool>,
    pub posture_age_s: Option<u32>,
}

/// Facts that Deodar states itself, in calls and questions alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub token: Option<&'a TokenFacts>,
    pub token_sets: &'a TokenSets,
    pub risk: &'a Risk,
    pub rates: Rates,
    pub device: DeviceView<'a>,
    pub network_known: bool,
    pub now: Timestamp,
}

impl Facts<'_> {
    /// The wanted attributes as far as they are read; a token that is not there is left out.
    pub fn attributes(&self, wanted: &[Filled], reads: Reads) -> impl Iterator<Item = (&'static str, Value)> {
        let read = wanted.iter().filter(move |filled| reads.has(filled.fact()));
        read.filter_map(move |filled| Some((filled.name(), self.attribute(*filled, reads)?)))
    }

    fn attribute(&self, filled: Filled, reads: Reads) -> Option<Value> {
        match filled {
            Filled::Token => self.token.map(|token| token_value(token, self.token_sets, self.now, reads)),
            Filled::Risk => Some(risk_value(self.risk, reads)),
            Filled::Device => Some(device_value(self.device, reads)),
            Filled::Network => Some(network_value(self.network_known, reads)),
            Filled::Rate => Some(rates_value(self.rates, reads)),
            Filled::Time => Some(time_value(self.now, reads)),
        }
    }
}

/// A context of attributes, each name once.
pub(super) fn context<'a>(attributes: impl Iterator<Item = (&'a str, Value)>) -> Context {
    Context::Value(Arc::new(attributes.map(|(name, value)| (name.into(), value)).collect()))
}

/// The request as the gateway saw it; the bags of values are entities of their own, named here.
pub(super) fn request_value(
    host: &str,
    ip: Option<IpAddr>,
    secure: bool,
    reads: Reads,
) -> Result<Value, Unbuildable> {
    let bag = |name: &Arc<EntityUID>| Some(Value::new(Literal::from(Arc::clone(name)), None));
    let ip = ip.filter(|_| reads.has(Fact::Ip)).map(address).transpose()?;
    Ok(record(
        reads,
        [
            ("host", Fact::Host, &|| Some(text(host))),
            ("ip", Fact::Ip, &|| ip.clone()),
            ("secure", Fact::Secure, &|| Some(truth(secure))),
            ("path_params", Fact::PathParams, &|| bag(&NAMES.path_params)),
            ("query_params", Fact::QueryParams, &|| bag(&NAMES.query_params)),
            ("headers", Fact::Headers, &|| bag(&NAMES.headers)),
            ("metadata", Fact::Metadata, &|| bag(&NAMES.metadata)),
        ],
    ))
}

/// An IPv4 client seen through a dual-stack socket is the same client.
fn address(ip: IpAddr) -> Result<Value, Unbuildable> {
    let ip = ip.to_canonical().to_string();
    extension_value(&NAMES.ip, &ip)
        .ok_or_else(|| Unbuildable::because(format!("`{ip}` is no address to Cedar")))
}

fn token_value(token: &TokenFacts, sets: &TokenSets, now: Timestamp, reads: Reads) -> Value {
    let age = |since: Timestamp| seconds(now.since(since));
    record(
        reads,
        [
            ("issuer", Fact::TokenIssuer, &|| Some(text(token.issuer.as_str()))),
            ("kind", Fact::TokenKind, &|| Some(reference(&NAMES.token_kind, token.kind.as_str()))),
            ("client_id", Fact::TokenClientId, &|| token.client_id.as_deref().map(text)),
            ("audience", Fact::TokenAudience, &|| Some(sets.audience(token))),
            ("scopes", Fact::TokenScopes, &|| Some(sets.scopes(token))),
            ("age_s", Fact::TokenAge, &|| Some(seconds(token.age(now)))),
            ("lifetime_s", Fact::TokenLifetime, &|| Some(seconds(token.lifetime()))),
            ("auth_age_s", Fact::TokenAuthAge, &|| token.auth_time.map(age)),
            ("acr", Fact::TokenAcr, &|| token.acr.as_deref().map(text)),
            ("amr", Fact::TokenAmr, &|| Some(sets.amr(token))),
            ("sender_constrained", Fact::TokenSenderConstrained, &|| Some(truth(token.sender_constrained))),
        ],
    )
}

fn risk_value(risk: &Risk, reads: Reads) -> Value {
    let reasons = || set(risk.reasons.iter().map(|reason| reason.kind.as_str()));
    record(
        reads,
        [
            ("level", Fact::RiskLevel, &|| Some(long(risk.level.number()))),
            ("score", Fact::RiskScore, &|| Some(long(risk.score))),
            ("confidence", Fact::RiskConfidence, &|| Some(long(risk.confidence))),
            ("reasons", Fact::RiskReasons, &|| Some(reasons())),
            ("stale", Fact::RiskStale, &|| Some(truth(risk.stale))),
            ("learning", Fact::RiskLearning, &|| Some(truth(risk.learning))),
        ],
    )
}

fn device_value(device: DeviceView<'_>, reads: Reads) -> Value {
    record(
        reads,
        [
            ("known", Fact::DeviceKnown, &|| Some(truth(device.known))),
            ("id", Fact::DeviceId, &|| device.id.map(text)),
            ("compliant", Fact::DeviceCompliant, &|| device.compliant.map(truth)),
            ("posture_age_s", Fact::DevicePostureAge, &|| device.posture_age_s.map(long)),
        ],
    )
}

/// Networks are not classified in this version, and say so.
fn network_value(known: bool, reads: Reads) -> Value {
    record(
        reads,
        [
            ("class", Fact::NetworkClass, &|| Some(reference(&NAMES.network_class, "unknown"))),
            ("known", Fact::NetworkKnown, &|| Some(truth(known))),
        ],
    )
}

fn rates_value(rates: Rates, reads: Reads) -> Value {
    record(
        reads,
        [
            ("principal", Fact::RatePrincipal, &|| Some(rate_value(rates.principal))),
            ("principal_endpoint", Fact::RatePrincipalEndpoint, &|| {
                Some(rate_value(rates.principal_endpoint))
            }),
            ("network", Fact::RateNetwork, &|| Some(rate_value(rates.network))),
        ],
    )
}

fn rate_value(rate: Rate) -> Value {
    let windows =
        [("last_second", rate.last_second), ("last_minute", rate.last_minute), ("last_hour", rate.last_hour)];
    Value::record(windows.map(|(name, calls)| (name, long(calls))), None)
}

fn time_value(now: Timestamp, reads: Reads) -> Value {
    let days = now.seconds().div_euclid(86_400);
    let hour = now.seconds().rem_euclid(86_400) / 3_600;
    // The first of January 1970 was a Thursday: day 4 of the ISO week.
    let weekday = (days + 3).rem_euclid(7) + 1;
    record(
        reads,
        [
            ("epoch_ms", Fact::TimeEpoch, &|| Some(long(now.millis()))),
            ("hour", Fact::TimeHour, &|| Some(long(hour))),
            ("weekday", Fact::TimeWeekday, &|| Some(long(weekday))),
        ],
    )
}

fn seconds(duration: Duration) -> Value {
    long(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
}

/// A field with the fact that it states and what makes it; `None` where it has no value.
type Field<'a> = (&'static str, Fact, &'a dyn Fn() -> Option<Value>);

/// A record of the fields that are read and have a value.
fn record<const N: usize>(reads: Reads, fields: [Field<'_>; N]) -> Value {
    let read = fields.into_iter().filter(|(_, fact, _)| reads.has(*fact));
    Value::record(read.filter_map(|(name, _, make)| Some((name, make()?))), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time_at(moment: &str) -> Value {
        time_value(
            Timestamp::parse(moment).unwrap(),
            Reads::NONE.with(Fact::TimeWeekday).with(Fact::TimeHour),
        )
    }

    fn time(weekday: i64, hour: i64) -> Value {
        Value::record([("weekday", long(weekday)), ("hour", long(hour))], None)
    }

    #[test]
    fn weekdays_are_iso_and_hours_utc() {
        assert_eq!(time_at("1970-01-01T00:00:00Z"), time(4, 0));
        assert_eq!(time_at("1969-12-31T23:59:59Z"), time(3, 23));
        assert_eq!(time_at("2026-11-22T10:00:00Z"), time(7, 10));
        assert_eq!(time_at("2026-11-23T01:30:00+02:00"), time(7, 23));
    }

    #[test]
    fn only_what_is_read_is_built() {
        let risk = Risk { score: 40, ..Risk::default() };
        let score = Value::record([("score", long(40))], None);
        assert_eq!(risk_value(&risk, Reads::NONE.with(Fact::RiskScore)), score);
        assert_eq!(risk_value(&risk, Reads::NONE), Value::empty_record(None));
    }
}
