//! A condition as a small tree over the typed facts of a call: what most conditions ask needs no Cedar values.
//!
//! It is a shortcut and not a second opinion. A program says what Cedar's evaluator would say, or that it does not know: where an
//! expression is not understood here, where a fact that is read is not there, where a number grows out of range. Then
//! Cedar is asked, so errors are always Cedar's own. `&&`, `||` and `if` look no further than Cedar does, so that what
//! is not known on a side that Cedar would not look at does not matter. The tests of `call` hold it against Cedar.

mod leaf;
mod value;

use std::sync::Arc;

use cedar_policy_core::ast::{
    BinaryOp, EntityType, EntityUID, Expr, ExprKind, Literal, Pattern, UnaryOp, Var,
};

use super::call::{CallInput, Others};
use super::facts::{Datum, Facts, Which, Who};
use super::prepared::{PreparedEndpoint, PreparedPrincipal};
use super::reads::{Fact, Place, place};
use leaf::{Leaf, One, named};
use value::{Bag, Long, Text, Words, entities, texts};

/// All that a program can read.
pub(super) struct Scene<'a> {
    pub call: &'a CallInput<'a>,
    pub facts: Facts<'a>,
    pub principal: &'a PreparedPrincipal,
    /// Those of actor and peer that are read.
    pub others: &'a Others,
    pub endpoint: &'a PreparedEndpoint,
}

/// A compiled condition.
#[derive(Debug)]
pub(super) struct Program(Truth);

impl Program {
    pub fn of(test: &Expr) -> Self {
        Self(Truth::of(test))
    }

    /// Whether the condition holds; `None` where only Cedar can tell.
    pub fn holds(&self, scene: &Scene<'_>) -> Option<bool> {
        self.0.eval(scene)
    }

    /// Whether every part of it is understood.
    #[cfg(test)]
    pub fn is_whole(&self) -> bool {
        !format!("{self:?}").contains("Unknown")
    }
}

/// Something that is true or false.
#[derive(Debug)]
enum Truth {
    Unknown,
    Constant(bool),
    Read(Leaf),
    /// `context has token`.
    HasToken,
    /// `context has peer`.
    HasPeer,
    /// `context has actor`.
    HasActor,
    /// `context.request has ip`.
    HasAddress,
    /// The attribute that holds the field is there for sure, or is the token.
    Has(Leaf),
    Not(Box<Self>),
    And(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    If(Box<[Self; 3]>),
    Less(Box<[Long; 2]>),
    LessEq(Box<[Long; 2]>),
    SameLong(Box<[Long; 2]>),
    SameText(Box<[Text; 2]>),
    Alike(Box<[Self; 2]>),
    /// A fact that names an entity.
    Names(Leaf, Arc<EntityUID>),
    Is(One, EntityType),
    Equals(One, Arc<EntityUID>),
    InAny(One, Box<[Arc<EntityUID>]>),
    Like(Text, Pattern),
    Holds(Words, Text),
    HoldsAny(Words, Box<[Arc<str>]>),
    HoldsAll(Words, Box<[Arc<str>]>),
    IsEmpty(Words),
    HasTag(Bag, Text),
}

impl Truth {
    fn of(expression: &Expr) -> Self {
        match expression.expr_kind() {
            ExprKind::Lit(Literal::Bool(constant)) => Self::Constant(*constant),
            ExprKind::GetAttr { .. } => Leaf::of(expression).map_or(Self::Unknown, Self::Read),
            ExprKind::HasAttr { expr, attr } => Self::has(expr, attr),
            ExprKind::ExtHasAttr { expr, attrs } => Self::has_each(expr, attrs.iter().map(AsRef::as_ref)),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => Self::Not(Box::new(Self::of(arg))),
            ExprKind::UnaryApp { op: UnaryOp::IsEmpty, arg } => {
                Words::of(arg).map_or(Self::Unknown, Self::IsEmpty)
            }
            ExprKind::And { left, right } => Self::And(Box::new([Self::of(left), Self::of(right)])),
            ExprKind::Or { left, right } => Self::Or(Box::new([Self::of(left), Self::of(right)])),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                Self::If(Box::new([test_expr, then_expr, else_expr].map(|part| Self::of(part))))
            }
            ExprKind::Is { expr, entity_type } => {
                One::of(expr).map_or(Self::Unknown, |one| Self::Is(one, entity_type.clone()))
            }
            ExprKind::Like { expr, pattern } => {
                Text::of(expr).map_or(Self::Unknown, |text| Self::Like(text, pattern.clone()))
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => Self::binary(*op, arg1, arg2).unwrap_or(Self::Unknown),
            _ => Self::Unknown,
        }
    }

    fn has(of: &Expr, attribute: &str) -> Self {
        let principal = || named(&Who::ALL, attribute).map(Leaf::Principal);
        let resource = || named(&Which::ALL, attribute).map(Leaf::Resource);
        let leaf = match (of.expr_kind(), place(of)) {
            (_, Place::Context) if attribute == "token" => return Self::HasToken,
            (_, Place::Context) if attribute == "peer" => return Self::HasPeer,
            (_, Place::Context) if attribute == "actor" => return Self::HasActor,
            (_, Place::Attribute(outer)) => Fact::of_field(outer, attribute).map(Leaf::Context),
            (ExprKind::Var(Var::Principal), _) => principal(),
            (ExprKind::Var(Var::Resource), _) => resource(),
            _ => None,
        };
        leaf.map_or(Self::Unknown, Self::has_leaf)
    }

    fn has_leaf(leaf: Leaf) -> Self {
        match leaf {
            Leaf::Context(Fact::Ip) => Self::HasAddress,
            // These are there always, but nothing is read of them.
            Leaf::Context(Fact::PathParams | Fact::QueryParams | Fact::Headers | Fact::Metadata) => {
                Self::Constant(true)
            }
            _ => Self::Has(leaf),
        }
    }

    /// `context has token.acr`.
    fn has_each<'e>(of: &Expr, mut attributes: impl Iterator<Item = &'e str>) -> Self {
        match (place(of), attributes.next(), attributes.next(), attributes.next()) {
            (_, Some(only), None, _) => Self::has(of, only),
            (Place::Context, Some(outer), Some(field), None) => {
                let has = Fact::of_field(outer, field)
                    .map_or(Self::Unknown, |fact| Self::has_leaf(Leaf::Context(fact)));
                if outer == "token" { Self::And(Box::new([Self::HasToken, has])) } else { has }
            }
            _ => Self::Unknown,
        }
    }

    fn binary(op: BinaryOp, left: &Expr, right: &Expr) -> Option<Self> {
        let longs = || Some(Box::new([Long::of(left)?, Long::of(right)?]));
        match op {
            BinaryOp::Eq => Self::same(left, right),
            BinaryOp::Less => longs().map(Self::Less),
            BinaryOp::LessEq => longs().map(Self::LessEq),
            BinaryOp::In => Some(Self::InAny(One::of(left)?, entities(right)?)),
            BinaryOp::Contains => Some(Self::Holds(Words::of(left)?, Text::of(right)?)),
            BinaryOp::ContainsAny => Some(Self::HoldsAny(Words::of(left)?, texts(right)?)),
            BinaryOp::ContainsAll => Some(Self::HoldsAll(Words::of(left)?, texts(right)?)),
            BinaryOp::HasTag => Some(Self::HasTag(Bag::of(left)?, Text::of(right)?)),
            _ => None,
        }
    }

    /// Of what type the sides are is known when one of them is written out.
    fn same(left: &Expr, right: &Expr) -> Option<Self> {
        let (known, other) = match (left.expr_kind(), right.expr_kind()) {
            (ExprKind::Lit(literal), _) => (literal, right),
            (_, ExprKind::Lit(literal)) => (literal, left),
            _ => return None,
        };
        match known {
            Literal::Long(_) => Some(Self::SameLong(Box::new([Long::of(left)?, Long::of(right)?]))),
            Literal::String(_) => Some(Self::SameText(Box::new([Text::of(left)?, Text::of(right)?]))),
            Literal::Bool(_) => Some(Self::Alike(Box::new([Self::of(left), Self::of(right)]))),
            Literal::EntityUID(uid) => match One::of(other) {
                Some(one) => Some(Self::Equals(one, Arc::clone(uid))),
                None => Some(Self::Names(Leaf::of(other)?, Arc::clone(uid))),
            },
        }
    }

    fn eval(&self, scene: &Scene<'_>) -> Option<bool> {
        match self {
            Self::Unknown => None,
            Self::Constant(constant) => Some(*constant),
            Self::Read(leaf) => match leaf.read(scene)? {
                Datum::Truth(flag) => Some(flag),
                _ => None,
            },
            Self::HasToken => Some(scene.facts.token.is_some()),
            Self::HasPeer => Some(scene.call.peer.is_some()),
            Self::HasActor => Some(scene.call.actor.is_some()),
            Self::HasAddress => Some(scene.call.source_ip.is_some()),
            Self::Has(leaf) => {
                let of_token = matches!(leaf, Leaf::Context(fact) if fact.is_of_token());
                (!of_token || scene.facts.token.is_some()).then(|| leaf.read(scene).is_some())
            }
            Self::Not(inner) => inner.eval(scene).map(|holds| !holds),
            Self::And(sides) => {
                let [left, right] = &**sides;
                if left.eval(scene)? { right.eval(scene) } else { Some(false) }
            }
            Self::Or(sides) => {
                let [left, right] = &**sides;
                if left.eval(scene)? { Some(true) } else { right.eval(scene) }
            }
            Self::If(parts) => {
                let [test, then, otherwise] = &**parts;
                if test.eval(scene)? { then.eval(scene) } else { otherwise.eval(scene) }
            }
            Self::Alike(sides) => {
                let [left, right] = &**sides;
                Some(left.eval(scene)? == right.eval(scene)?)
            }
            Self::Less(sides) => Long::both(sides, scene).map(|(left, right)| left < right),
            Self::LessEq(sides) => Long::both(sides, scene).map(|(left, right)| left <= right),
            Self::SameLong(sides) => Long::both(sides, scene).map(|(left, right)| left == right),
            Self::SameText(sides) => {
                let [left, right] = &**sides;
                Some(left.eval(scene)? == right.eval(scene)?)
            }
            Self::Names(leaf, uid) => match leaf.read(scene)? {
                Datum::Name(kind, id) => {
                    Some(uid.entity_type() == kind && id == <_ as AsRef<str>>::as_ref(uid.eid()))
                }
                _ => None,
            },
            Self::Is(one, kind) => Some(one.entity(scene).uid().entity_type() == kind),
            Self::Equals(one, uid) => Some(one.entity(scene).uid() == &**uid),
            Self::InAny(one, uids) => {
                let entity = one.entity(scene);
                Some(uids.iter().any(|uid| entity.uid() == &**uid || entity.is_descendant_of(uid)))
            }
            Self::Like(text, pattern) => Some(pattern.wildcard_match(text.eval(scene)?)),
            Self::Holds(words, text) => words.hold(scene, text.eval(scene)?),
            Self::HoldsAny(words, texts) => words.hold_any(scene, texts),
            Self::HoldsAll(words, texts) => words.hold_all(scene, texts),
            Self::IsEmpty(words) => words.are_none(scene),
            Self::HasTag(bag, name) => {
                let name = name.eval(scene)?;
                bag.has(scene, name)
            }
        }
    }
}
