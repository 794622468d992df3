//! What is known about the call or question, as Cedar values: those that the policies at hand can read.
//!
//! Who and what are entities, and built in `entities`; what is known is `facts`'s; which of it is read is found in
//! `reads`.

use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy_core::ast::{Context, EntityUID, Literal, Value};

use super::condition::extension_value;
use super::entities::{NAMES, Unbuildable, long, reference, set, text, truth, words};
use super::facts::{Datum, Facts};
use super::reads::{Fact, Reads};
use super::schema::Filled;
use crate::model::Rate;

impl Facts<'_> {
    /// The wanted attributes as far as they are read; a token that is not there is left out.
    pub fn attributes(&self, wanted: &[Filled], reads: Reads) -> impl Iterator<Item = (&'static str, Value)> {
        let read = wanted.iter().filter(move |filled| reads.has(filled.fact()));
        let there = read.filter(|filled| **filled != Filled::Token || self.token.is_some());
        there.map(move |filled| (filled.name(), self.attribute(*filled, reads)))
    }

    fn attribute(&self, filled: Filled, reads: Reads) -> Value {
        record(filled.name(), reads, |fact| self.shared(fact).or_else(|| self.datum(fact).map(value)))
    }

    /// Sets that were made once for the token.
    fn shared(&self, fact: Fact) -> Option<Value> {
        let token = self.token?;
        match fact {
            Fact::TokenAudience => Some(self.token_sets.audience(token)),
            Fact::TokenScopes => Some(self.token_sets.scopes(token)),
            Fact::TokenAmr => Some(self.token_sets.amr(token)),
            _ => None,
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
    Ok(record("request", reads, |fact| match fact {
        Fact::Host => Some(text(host)),
        Fact::Ip => ip.clone(),
        Fact::Secure => Some(truth(secure)),
        Fact::PathParams => bag(&NAMES.path_params),
        Fact::QueryParams => bag(&NAMES.query_params),
        Fact::Headers => bag(&NAMES.headers),
        Fact::Metadata => bag(&NAMES.metadata),
        _ => None,
    }))
}

/// A record of the fields of an attribute that are read and have a value.
fn record(attribute: &str, reads: Reads, field: impl Fn(Fact) -> Option<Value>) -> Value {
    let read = Fact::fields(attribute).filter(|(_, fact)| reads.has(*fact));
    Value::record(read.filter_map(|(name, fact)| Some((name, field(fact)?))), None)
}

/// A fact in Cedar's form.
pub(super) fn value(datum: Datum<'_>) -> Value {
    match datum {
        Datum::Truth(flag) => truth(flag),
        Datum::Long(number) => long(number),
        Datum::Text(string) => text(string),
        Datum::Words(texts) => words(texts),
        Datum::Kinds(reasons) => set(reasons.iter().map(|reason| reason.kind.as_str())),
        Datum::Name(kind, id) => reference(kind, id),
        Datum::Rate(rate) => rate_value(rate),
    }
}

/// An IPv4 client seen through a dual-stack socket is the same client.
fn address(ip: IpAddr) -> Result<Value, Unbuildable> {
    let ip = ip.to_canonical().to_string();
    extension_value(&NAMES.ip, &ip)
        .ok_or_else(|| Unbuildable::because(format!("`{ip}` is no address to Cedar")))
}

fn rate_value(rate: Rate) -> Value {
    let windows =
        [("last_second", rate.last_second), ("last_minute", rate.last_minute), ("last_hour", rate.last_hour)];
    Value::record(windows.map(|(name, calls)| (name, long(calls))), None)
}

#[cfg(test)]
mod tests {
    use super::super::facts::DeviceView;
    use super::super::prepared::TokenSets;
    use super::*;
    use crate::model::{Rates, Risk, Timestamp};

    fn stated(filled: Filled, risk: &Risk, now: Timestamp, reads: Reads) -> Value {
        let facts = Facts {
            token: None,
            token_sets: &TokenSets::default(),
            risk,
            rates: Rates::default(),
            device: DeviceView::default(),
            network_known: false,
            now,
        };
        facts.attribute(filled, reads)
    }

    fn time_at(moment: &str) -> Value {
        let reads = Reads::NONE.with(Fact::TimeWeekday).with(Fact::TimeHour);
        stated(Filled::Time, &Risk::default(), Timestamp::parse(moment).unwrap(), reads)
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
        let read = |reads| stated(Filled::Risk, &risk, Timestamp::from_seconds(0), reads);
        assert_eq!(read(Reads::NONE.with(Fact::RiskScore)), Value::record([("score", long(40))], None));
        assert_eq!(read(Reads::NONE), Value::empty_record(None));
    }
}
