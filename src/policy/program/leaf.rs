//! The places that programs read: attributes of the context, of the principal and of the endpoint, and the three themselves.

use cedar_policy_core::ast::{Entity, Expr, ExprKind, Var};

use super::super::entities::NAMES;
use super::super::facts::{Datum, Which, Who};
use super::super::reads::{Fact, Place, place};
use super::Scene;
use crate::model::{Principal, PrincipalKind, Rate};

/// A place that one fact is read from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaf {
    Context(Fact),
    Rate(Fact, fn(Rate) -> u32),
    Principal(Who),
    Resource(Which),
}

impl Leaf {
    pub(super) fn of(expression: &Expr) -> Option<Self> {
        let ExprKind::GetAttr { expr, attr } = expression.expr_kind() else { return None };
        match (expr.expr_kind(), place(expr)) {
            (_, Place::Context) => Fact::named(attr, "").map(Self::Context),
            (_, Place::Attribute(outer)) => Fact::of_field(outer, attr).map(Self::Context),
            (ExprKind::Var(Var::Principal), _) => named(&Who::ALL, attr).map(Self::Principal),
            (ExprKind::Var(Var::Resource), _) => named(&Which::ALL, attr).map(Self::Resource),
            (ExprKind::GetAttr { expr, attr: of }, _) => match place(expr) {
                Place::Attribute("rate") => Some(Self::Rate(Fact::named("rate", of)?, window(attr)?)),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn read<'a>(self, scene: &Scene<'a>) -> Option<Datum<'a>> {
        match self {
            Self::Context(Fact::ScopesMet) => Some(Datum::Truth(scene.call.scopes_met)),
            Self::Context(Fact::Host) => Some(Datum::Text(&scene.call.located.host)),
            Self::Context(Fact::Secure) => Some(Datum::Truth(scene.call.secure)),
            Self::Context(Fact::Peer) => scene.call.peer.and_then(name),
            Self::Context(Fact::Actor) => scene.call.actor.and_then(name),
            Self::Context(fact) => scene.facts.datum(fact),
            Self::Rate(of, window) => match scene.facts.datum(of)? {
                Datum::Rate(rate) => Some(Datum::Long(window(rate).into())),
                _ => None,
            },
            Self::Principal(who) => who.of(scene.call.principal),
            Self::Resource(which) => which.of(&scene.call.located.endpoint),
        }
    }
}

/// Peers and actors are workloads; one of another kind is for Cedar to judge.
fn name(other: &Principal) -> Option<Datum<'_>> {
    let workload = other.id.kind == PrincipalKind::Workload;
    workload.then(|| Datum::Name(&NAMES.workload, other.id.id()))
}

pub(super) fn named<T: Copy>(table: &[(&str, T)], wanted: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == wanted).map(|(_, found)| *found)
}

fn window(name: &str) -> Option<fn(Rate) -> u32> {
    match name {
        "last_second" => Some(|rate| rate.last_second),
        "last_minute" => Some(|rate| rate.last_minute),
        "last_hour" => Some(|rate| rate.last_hour),
        _ => None,
    }
}

/// Principal, action or resource.
#[derive(Clone, Copy, Debug)]
pub(super) enum One {
    Principal,
    Action,
    Resource,
}

impl One {
    pub(super) fn of(expression: &Expr) -> Option<Self> {
        match expression.expr_kind() {
            ExprKind::Var(Var::Principal) => Some(Self::Principal),
            ExprKind::Var(Var::Action) => Some(Self::Action),
            ExprKind::Var(Var::Resource) => Some(Self::Resource),
            _ => None,
        }
    }

    pub(super) fn entity<'a>(self, scene: &Scene<'a>) -> &'a Entity {
        match self {
            Self::Principal => &scene.principal.entity,
            Self::Action => &scene.endpoint.action_entity,
            Self::Resource => &scene.endpoint.entity,
        }
    }
}
