//! Numbers, texts and sets of texts, as far as programs know them. `None` where only Cedar can tell.

use std::sync::Arc;

use cedar_policy_core::ast::{BinaryOp, EntityUID, Expr, ExprKind, Literal, UnaryOp};

use super::super::facts::Datum;
use super::super::reads::Fact;
use super::Scene;
use super::leaf::{Leaf, One};

/// A whole number.
#[derive(Debug)]
pub(super) enum Long {
    Constant(i64),
    Read(Leaf),
    Negated(Box<Self>),
    /// Cedar's arithmetic fails where these do.
    Combined(fn(i64, i64) -> Option<i64>, Box<[Self; 2]>),
}

impl Long {
    pub(super) fn of(expression: &Expr) -> Option<Self> {
        match expression.expr_kind() {
            ExprKind::Lit(Literal::Long(constant)) => Some(Self::Constant(*constant)),
            ExprKind::UnaryApp { op: UnaryOp::Neg, arg } => Some(Self::Negated(Box::new(Self::of(arg)?))),
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let combine: fn(i64, i64) -> Option<i64> = match op {
                    BinaryOp::Add => i64::checked_add,
                    BinaryOp::Sub => i64::checked_sub,
                    BinaryOp::Mul => i64::checked_mul,
                    _ => return None,
                };
                Some(Self::Combined(combine, Box::new([Self::of(arg1)?, Self::of(arg2)?])))
            }
            _ => Leaf::of(expression).map(Self::Read),
        }
    }

    pub(super) fn eval(&self, scene: &Scene<'_>) -> Option<i64> {
        match self {
            Self::Constant(constant) => Some(*constant),
            Self::Read(leaf) => match leaf.read(scene)? {
                Datum::Long(number) => Some(number),
                _ => None,
            },
            Self::Negated(inner) => inner.eval(scene)?.checked_neg(),
            Self::Combined(combine, sides) => {
                let (left, right) = Self::both(sides, scene)?;
                combine(left, right)
            }
        }
    }

    pub(super) fn both(sides: &[Self; 2], scene: &Scene<'_>) -> Option<(i64, i64)> {
        let [left, right] = sides;
        Some((left.eval(scene)?, right.eval(scene)?))
    }
}

/// A text.
#[derive(Debug)]
pub(super) enum Text {
    Constant(Arc<str>),
    Read(Leaf),
}

impl Text {
    pub(super) fn of(expression: &Expr) -> Option<Self> {
        match expression.expr_kind() {
            ExprKind::Lit(Literal::String(constant)) => Some(Self::Constant(constant.as_str().into())),
            _ => Leaf::of(expression).map(Self::Read),
        }
    }

    pub(super) fn eval<'s>(&'s self, scene: &Scene<'s>) -> Option<&'s str> {
        match self {
            Self::Constant(constant) => Some(constant),
            Self::Read(leaf) => match leaf.read(scene)? {
                Datum::Text(text) => Some(text),
                _ => None,
            },
        }
    }
}

/// A set of texts.
#[derive(Debug)]
pub(super) enum Words {
    Read(Leaf),
    Listed(Box<[Arc<str>]>),
    Tag(Bag, Text),
}

impl Words {
    pub(super) fn of(expression: &Expr) -> Option<Self> {
        match expression.expr_kind() {
            ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1, arg2 } => {
                Some(Self::Tag(Bag::of(arg1)?, Text::of(arg2)?))
            }
            ExprKind::Set(_) => texts(expression).map(Self::Listed),
            _ => Leaf::of(expression).map(Self::Read),
        }
    }

    pub(super) fn hold(&self, scene: &Scene<'_>, text: &str) -> Option<bool> {
        match self {
            Self::Listed(texts) => Some(texts.iter().any(|one| &**one == text)),
            Self::Read(leaf) => match leaf.read(scene)? {
                Datum::Words(words) => Some(words.contains(text)),
                Datum::Kinds(reasons) => Some(reasons.iter().any(|reason| reason.kind == text)),
                _ => None,
            },
            Self::Tag(bag, name) => {
                let name = name.eval(scene)?;
                // Cedar fails for a tag that is not there.
                if bag.has(scene, name)? { bag.holds(scene, name, text) } else { None }
            }
        }
    }

    pub(super) fn hold_any(&self, scene: &Scene<'_>, texts: &[Arc<str>]) -> Option<bool> {
        for text in texts {
            if self.hold(scene, text)? {
                return Some(true);
            }
        }
        Some(false)
    }

    pub(super) fn hold_all(&self, scene: &Scene<'_>, texts: &[Arc<str>]) -> Option<bool> {
        for text in texts {
            if !self.hold(scene, text)? {
                return Some(false);
            }
        }
        Some(true)
    }

    pub(super) fn are_none(&self, scene: &Scene<'_>) -> Option<bool> {
        match self {
            Self::Listed(texts) => Some(texts.is_empty()),
            Self::Read(leaf) => match leaf.read(scene)? {
                Datum::Words(words) => Some(words.is_empty()),
                Datum::Kinds(reasons) => Some(reasons.is_empty()),
                _ => None,
            },
            Self::Tag(..) => None,
        }
    }
}

/// Named sets of texts: a bag of a call's values, or the principal's tags.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bag {
    PathParams,
    QueryParams,
    Headers,
    Metadata,
    Principal,
}

impl Bag {
    pub(super) fn of(expression: &Expr) -> Option<Self> {
        match (One::of(expression), Leaf::of(expression)) {
            (Some(One::Principal), _) => Some(Self::Principal),
            (_, Some(Leaf::Context(Fact::PathParams))) => Some(Self::PathParams),
            (_, Some(Leaf::Context(Fact::QueryParams))) => Some(Self::QueryParams),
            (_, Some(Leaf::Context(Fact::Headers))) => Some(Self::Headers),
            (_, Some(Leaf::Context(Fact::Metadata))) => Some(Self::Metadata),
            _ => None,
        }
    }

    /// The pairs of a bag of the call, but for metadata.
    pub(super) fn pairs<'a>(self, scene: &Scene<'a>) -> &'a [(String, String)] {
        match self {
            Self::PathParams => &scene.call.located.path_params,
            Self::QueryParams => &scene.call.located.query_params,
            Self::Headers => scene.call.headers,
            Self::Metadata | Self::Principal => &[],
        }
    }

    pub(super) fn has(self, scene: &Scene<'_>, name: &str) -> Option<bool> {
        Some(match self {
            // An anonymous principal's type has no tags, so nobody can ask.
            Self::Principal if scene.call.principal.is_anonymous() => return None,
            Self::Principal => scene.call.principal.tags.contains_key(name),
            // A name without values is no tag.
            Self::Metadata => scene.call.metadata.get(name).is_some_and(|values| !values.is_empty()),
            _ => self.pairs(scene).iter().any(|(key, _)| key == name),
        })
    }

    pub(super) fn holds(self, scene: &Scene<'_>, name: &str, text: &str) -> Option<bool> {
        Some(match self {
            Self::Principal => scene.call.principal.tags.get(name)?.contains(text),
            Self::Metadata => scene.call.metadata.get(name)?.iter().any(|value| value == text),
            _ => self.pairs(scene).iter().any(|(key, value)| key == name && value == text),
        })
    }
}

/// The entities that are named one by one: `E::"a"`, `[E::"a", E::"b"]`.
pub(super) fn entities(expression: &Expr) -> Option<Box<[Arc<EntityUID>]>> {
    let one = |expression: &Expr| match expression.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) => Some(Arc::clone(uid)),
        _ => None,
    };
    match expression.expr_kind() {
        ExprKind::Set(members) => members.iter().map(one).collect(),
        _ => one(expression).map(|uid| [uid].into()),
    }
}

/// The texts of a set that is written out. Of none nothing can be said: whoever asks for them never looks at the other set.
pub(super) fn texts(expression: &Expr) -> Option<Box<[Arc<str>]>> {
    let ExprKind::Set(members) = expression.expr_kind() else { return None };
    let one = |member: &Expr| match member.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text.as_str().into()),
        _ => None,
    };
    members.iter().map(one).collect::<Option<Box<[_]>>>().filter(|texts| !texts.is_empty())
}
