//! What is known about the call or question, as Cedar values.
//!
//! Durations are whole seconds and times whole milliseconds, because Cedar's own time types cost microseconds each.
//! Who and what are entities, and built in `entities`.

use std::net::IpAddr;
use std::time::Duration;

use cedar_policy::RestrictedExpression;

use super::entities::{NAMES, Unbuildable, reference, set, text};
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
    pub risk: &'a Risk,
    pub rates: Rates,
    pub device: DeviceView<'a>,
    pub network_known: bool,
    pub now: Timestamp,
}

/// Name and value, in the order of the vocabulary.
pub(super) type Pairs = Vec<(String, RestrictedExpression)>;

impl Facts<'_> {
    /// The wanted attributes; a token that is not there is left out.
    pub fn attributes(&self, wanted: &[Filled]) -> Result<Pairs, Unbuildable> {
        let mut pairs = Pairs::new();
        for filled in wanted {
            let value = match filled {
                Filled::Token => self.token.map(|token| token_value(token, self.now)).transpose()?,
                Filled::Risk => Some(risk_value(self.risk)?),
                Filled::Device => Some(device_value(self.device)?),
                Filled::Network => Some(network_value(self.network_known)?),
                Filled::Rate => Some(rates_value(self.rates)?),
                Filled::Time => Some(time_value(self.now)?),
            };
            pairs.extend(value.map(|value| (filled.name().to_owned(), value)));
        }
        Ok(pairs)
    }
}

/// The request as the gateway saw it; the bags of values are entities of their own, named here.
pub(super) fn request_value(
    host: &str,
    ip: Option<IpAddr>,
    secure: bool,
) -> Result<RestrictedExpression, Unbuildable> {
    let bag = |name| reference(&NAMES.values, name);
    // An IPv4 client seen through a dual-stack socket is the same client.
    let ip = ip.map(|ip| RestrictedExpression::new_ip(ip.to_canonical().to_string()));
    record(vec![
        ("host", Some(text(host))),
        ("ip", ip),
        ("secure", Some(RestrictedExpression::new_bool(secure))),
        ("path_params", Some(bag("path_params"))),
        ("query_params", Some(bag("query_params"))),
        ("headers", Some(bag("headers"))),
        ("metadata", Some(bag("metadata"))),
    ])
}

fn token_value(token: &TokenFacts, now: Timestamp) -> Result<RestrictedExpression, Unbuildable> {
    let age = |since: Timestamp| seconds(now.since(since));
    record(vec![
        ("issuer", Some(text(token.issuer.as_str()))),
        ("kind", Some(reference(&NAMES.token_kind, token.kind.as_str()))),
        ("client_id", token.client_id.as_deref().map(text)),
        ("audience", Some(set(&token.audience))),
        ("scopes", Some(set(&token.scopes))),
        ("age_s", Some(seconds(token.age(now)))),
        ("lifetime_s", Some(seconds(token.lifetime()))),
        ("auth_age_s", token.auth_time.map(age)),
        ("acr", token.acr.as_deref().map(text)),
        ("amr", Some(set(&token.amr))),
        ("sender_constrained", Some(RestrictedExpression::new_bool(token.sender_constrained))),
    ])
}

fn risk_value(risk: &Risk) -> Result<RestrictedExpression, Unbuildable> {
    record(vec![
        ("level", Some(long(risk.level.number()))),
        ("score", Some(long(risk.score))),
        ("confidence", Some(long(risk.confidence))),
        ("reasons", Some(set(risk.reasons.iter().map(|reason| &reason.kind)))),
        ("stale", Some(RestrictedExpression::new_bool(risk.stale))),
        ("learning", Some(RestrictedExpression::new_bool(risk.learning))),
    ])
}

fn device_value(device: DeviceView<'_>) -> Result<RestrictedExpression, Unbuildable> {
    record(vec![
        ("known", Some(RestrictedExpression::new_bool(device.known))),
        ("id", device.id.map(text)),
        ("compliant", device.compliant.map(RestrictedExpression::new_bool)),
        ("posture_age_s", device.posture_age_s.map(long)),
    ])
}

/// Networks are not classified in this version, and say so.
fn network_value(known: bool) -> Result<RestrictedExpression, Unbuildable> {
    record(vec![
        ("class", Some(reference(&NAMES.network_class, "unknown"))),
        ("known", Some(RestrictedExpression::new_bool(known))),
    ])
}

fn rates_value(rates: Rates) -> Result<RestrictedExpression, Unbuildable> {
    record(vec![
        ("principal", Some(rate_value(rates.principal)?)),
        ("principal_endpoint", Some(rate_value(rates.principal_endpoint)?)),
        ("network", Some(rate_value(rates.network)?)),
    ])
}

fn rate_value(rate: Rate) -> Result<RestrictedExpression, Unbuildable> {
    record(vec![
        ("last_second", Some(long(rate.last_second))),
        ("last_minute", Some(long(rate.last_minute))),
        ("last_hour", Some(long(rate.last_hour))),
    ])
}

fn time_value(now: Timestamp) -> Result<RestrictedExpression, Unbuildable> {
    let days = now.seconds().div_euclid(86_400);
    let hour = now.seconds().rem_euclid(86_400) / 3_600;
    // The first of January 1970 was a Thursday: day 4 of the ISO week.
    let weekday = (days + 3).rem_euclid(7) + 1;
    record(vec![
        ("epoch_ms", Some(RestrictedExpression::new_long(now.millis()))),
        ("hour", Some(RestrictedExpression::new_long(hour))),
        ("weekday", Some(RestrictedExpression::new_long(weekday))),
    ])
}

fn seconds(duration: Duration) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX))
}

fn long(value: impl Into<i64>) -> RestrictedExpression {
    RestrictedExpression::new_long(value.into())
}

/// A record without the fields that have no value.
fn record(fields: Vec<(&str, Option<RestrictedExpression>)>) -> Result<RestrictedExpression, Unbuildable> {
    let present = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    RestrictedExpression::new_record(present).map_err(Unbuildable::because)
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Context, EvalResult};

    use super::*;

    fn time_at(text: &str) -> (i64, i64) {
        let pairs = [("time".to_owned(), time_value(Timestamp::parse(text).unwrap()).unwrap())];
        let Some(EvalResult::Record(time)) = Context::from_pairs(pairs).unwrap().get("time") else {
            panic!("time is a record")
        };
        let long = |name| match time.get(name) {
            Some(EvalResult::Long(value)) => *value,
            other => panic!("{name} is {other:?}"),
        };
        (long("weekday"), long("hour"))
    }

    #[test]
    fn weekdays_are_iso_and_hours_utc() {
        assert_eq!(time_at("1970-01-01T00:00:00Z"), (4, 0));
        assert_eq!(time_at("1969-12-31T23:59:59Z"), (3, 23));
        assert_eq!(time_at("2026-11-22T10:00:00Z"), (7, 10));
        assert_eq!(time_at("2026-11-23T01:30:00+02:00"), (7, 23));
    }
}
