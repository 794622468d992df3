//! What Deodar states itself about a call or a question, typed.
//!
//! One reading serves both ways of evaluating: `context` makes Cedar values of it, `program` compares it as it is. So
//! the two cannot differ in what they see. Durations are whole seconds and times whole milliseconds, because Cedar's own
//! time types cost microseconds each.

use std::collections::BTreeSet;
use std::time::Duration;

use cedar_policy_core::ast::EntityType;

use super::entities::NAMES;
use super::prepared::TokenSets;
use super::reads::Fact;
use crate::model::{Endpoint, Principal, Rate, Rates, Risk, RiskReason, Timestamp, TokenFacts};

/// What the PEP says of the device, and whether anybody knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceView<'a> {
    pub known: bool,
    pub id: Option<&'a str>,
    pub compliant: Option<bool>,
    pub posture_age_s: Option<u32>,
}

/// One fact, as it is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Datum<'a> {
    Truth(bool),
    Long(i64),
    Text(&'a str),
    /// A set of texts.
    Words(&'a BTreeSet<String>),
    /// The set of their kinds.
    Kinds(&'a [RiskReason]),
    /// An entity of which only the name counts.
    Name(&'static EntityType, &'a str),
    Rate(Rate),
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

impl<'a> Facts<'a> {
    /// A field of the context; `None` where it has no value, and for what is no field of these.
    pub fn datum(&self, fact: Fact) -> Option<Datum<'a>> {
        let risk = self.risk;
        Some(match fact {
            Fact::TokenIssuer
            | Fact::TokenKind
            | Fact::TokenClientId
            | Fact::TokenAudience
            | Fact::TokenScopes
            | Fact::TokenAge
            | Fact::TokenLifetime
            | Fact::TokenAuthAge
            | Fact::TokenAcr
            | Fact::TokenAmr
            | Fact::TokenSenderConstrained => return self.token_datum(self.token?, fact),
            Fact::RiskLevel => Datum::Long(risk.level.number().into()),
            Fact::RiskScore => Datum::Long(risk.score.into()),
            Fact::RiskConfidence => Datum::Long(risk.confidence.into()),
            Fact::RiskReasons => Datum::Kinds(&risk.reasons),
            Fact::RiskStale => Datum::Truth(risk.stale),
            Fact::RiskLearning => Datum::Truth(risk.learning),
            Fact::DeviceKnown => Datum::Truth(self.device.known),
            Fact::DeviceId => Datum::Text(self.device.id?),
            Fact::DeviceCompliant => Datum::Truth(self.device.compliant?),
            Fact::DevicePostureAge => Datum::Long(self.device.posture_age_s?.into()),
            // Networks are not classified in this version, and say so.
            Fact::NetworkClass => Datum::Name(&NAMES.network_class, "unknown"),
            Fact::NetworkKnown => Datum::Truth(self.network_known),
            Fact::RatePrincipal => Datum::Rate(self.rates.principal),
            Fact::RatePrincipalEndpoint => Datum::Rate(self.rates.principal_endpoint),
            Fact::RateNetwork => Datum::Rate(self.rates.network),
            Fact::TimeEpoch => Datum::Long(self.now.millis()),
            Fact::TimeHour => Datum::Long(self.now.seconds().rem_euclid(86_400) / 3_600),
            Fact::TimeWeekday => Datum::Long(weekday(self.now)),
            _ => return None,
        })
    }

    fn token_datum(&self, token: &'a TokenFacts, fact: Fact) -> Option<Datum<'a>> {
        Some(match fact {
            Fact::TokenIssuer => Datum::Text(token.issuer.as_str()),
            Fact::TokenKind => Datum::Name(&NAMES.token_kind, token.kind.as_str()),
            Fact::TokenClientId => Datum::Text(token.client_id.as_deref()?),
            Fact::TokenAudience => Datum::Words(&token.audience),
            Fact::TokenScopes => Datum::Words(&token.scopes),
            Fact::TokenAge => Datum::Long(seconds(token.age(self.now))),
            Fact::TokenLifetime => Datum::Long(seconds(token.lifetime())),
            Fact::TokenAuthAge => Datum::Long(seconds(self.now.since(token.auth_time?))),
            Fact::TokenAcr => Datum::Text(token.acr.as_deref()?),
            Fact::TokenAmr => Datum::Words(&token.amr),
            Fact::TokenSenderConstrained => Datum::Truth(token.sender_constrained),
            _ => return None,
        })
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// ISO: Monday is 1. The first of January 1970 was a Thursday.
fn weekday(now: Timestamp) -> i64 {
    (now.seconds().div_euclid(86_400) + 3).rem_euclid(7) + 1
}

/// An attribute of the principal's entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Issuer,
    Subject,
    Active,
    Tenant,
}

impl Who {
    pub const ALL: [(&'static str, Self); 4] = [
        ("issuer", Self::Issuer),
        ("subject", Self::Subject),
        ("active", Self::Active),
        ("tenant", Self::Tenant),
    ];

    /// `None` where the entity has no such attribute: an anonymous principal has none at all.
    pub fn of(self, principal: &Principal) -> Option<Datum<'_>> {
        if principal.is_anonymous() {
            return None;
        }
        let (issuer, subject) = principal.id.parts();
        Some(match self {
            Self::Issuer => Datum::Text(issuer),
            Self::Subject => Datum::Text(subject),
            Self::Active => Datum::Truth(principal.active),
            Self::Tenant => Datum::Text(principal.tenant.as_deref()?),
        })
    }
}

/// An attribute of the endpoint's entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Method,
    Template,
    Operation,
    Sensitivity,
    State,
    Labels,
}

impl Which {
    pub const ALL: [(&'static str, Self); 6] = [
        ("method", Self::Method),
        ("template", Self::Template),
        ("operation", Self::Operation),
        ("sensitivity", Self::Sensitivity),
        ("state", Self::State),
        ("labels", Self::Labels),
    ];

    pub fn of(self, endpoint: &Endpoint) -> Option<Datum<'_>> {
        Some(match self {
            Self::Method => Datum::Text(&endpoint.method),
            Self::Template => Datum::Text(&endpoint.template),
            Self::Operation => Datum::Text(endpoint.operation.as_deref()?),
            Self::Sensitivity => Datum::Long(endpoint.sensitivity.get().into()),
            Self::State => Datum::Name(&NAMES.endpoint_state, endpoint.state.as_str()),
            Self::Labels => Datum::Words(&endpoint.labels),
        })
    }
}
