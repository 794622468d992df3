//! One policy made ready for evaluation: what must hold besides its scope, and what that reads.
//!
//! Cedar builds a policy's whole condition anew for each evaluation, and carries the place of every expression
//! along. Here both are done once: places are dropped (they are shared counters that all threads would fight for)
//! and constants such as `ip("10.0.0.0/8")` are parsed. Which policies are worth evaluating is `index`'s to say.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cedar_policy_core::ast::{
    Expr, ExprBuilder, ExprKind, Literal, Name, Policy, SlotEnv, Value, ValueKind, Var,
};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::expr_builder::ExprBuilder as _;
use cedar_policy_core::extensions::Extensions;

use super::program::{Program, Scene};
use super::reads::{Fact, Reads};
use super::snapshot::PolicyFacts;

/// Policies have no slots: links of templates are written out when a bundle is compiled.
static NO_SLOTS: LazyLock<SlotEnv> = LazyLock::new(HashMap::new);

/// A policy whose scope is known to be met.
#[derive(Debug)]
pub(super) struct Condition {
    pub facts: Arc<PolicyFacts>,
    pub reads: Reads,
    /// `None`: satisfied whenever the scope is met.
    test: Option<Test>,
}

/// What is to be found out, in the forms it can be found out by.
#[derive(Debug)]
struct Test {
    program: Program,
    expression: Expr,
    folded: Option<Folded>,
}

/// The same test with its constants taken from the context, where they were put for it.
#[derive(Debug)]
struct Folded {
    test: Expr,
    constants: Vec<Constant>,
}

/// A constant of an extension type, under the name by which folded tests read it from the context.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub name: Arc<str>,
    pub value: Value,
}

/// Whether folded tests find their constants in the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constants {
    InContext,
    Absent,
}

impl Condition {
    /// What is left of a policy once its scope is met.
    pub fn beyond_scope(policy: &Policy, facts: Arc<PolicyFacts>) -> Self {
        Self::new(policy.non_scope_constraints(), facts)
    }

    /// The policy with its scope, for scopes that the index does not understand.
    pub fn with_scope(policy: &Policy, facts: Arc<PolicyFacts>) -> Self {
        Self::new(Some(&policy.condition()), facts)
    }

    fn new(test: Option<&Expr>, facts: Arc<PolicyFacts>) -> Self {
        let Some(test) = test else { return Self { facts, reads: Reads::NONE, test: None } };
        let mut constants = Vec::new();
        let reads = Reads::of(test);
        let folded = rebuild(test, &mut |expression| constant(expression, &mut constants));
        let folded = Folded { test: folded, constants };
        // A test that reads the context as one value must not find anything else in it.
        let folded = Some(folded).filter(|f| !f.constants.is_empty() && !reads.has(Fact::WholeContext));
        let expression = rebuild(test, &mut |_| None);
        let test = Test { program: Program::of(&expression), expression, folded };
        Self { facts, reads, test: Some(test) }
    }

    /// What must be put into the context for the folded test.
    pub fn constants(&self) -> &[Constant] {
        let folded = self.test.as_ref().and_then(|test| test.folded.as_ref());
        folded.map(|folded| folded.constants.as_slice()).unwrap_or_default()
    }

    /// Whether the condition holds for a call; `None` where Cedar must be asked.
    pub fn holds(&self, scene: &Scene<'_>) -> Option<bool> {
        self.test.as_ref().map_or(Some(true), |test| test.program.holds(scene))
    }

    /// Whether no call needs Cedar's evaluator for it, but for facts that are not there.
    #[cfg(test)]
    pub fn is_whole(&self) -> bool {
        self.test.as_ref().is_none_or(|test| test.program.is_whole())
    }

    /// Whether the condition holds, or in Cedar's words why it cannot be evaluated.
    pub fn evaluate(&self, evaluator: &Evaluator<'_>, constants: Constants) -> Result<bool, String> {
        let Some(test) = &self.test else { return Ok(true) };
        let test = match (&test.folded, constants) {
            (Some(folded), Constants::InContext) => &folded.test,
            _ => &test.expression,
        };
        match evaluator.interpret(test, &NO_SLOTS) {
            Ok(Value { value: ValueKind::Lit(Literal::Bool(holds)), .. }) => Ok(holds),
            Ok(_) => Err(not_a_truth(test, evaluator)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// What Cedar says of a condition that is not true or false: the same as for one side of `&&`.
fn not_a_truth(test: &Expr, evaluator: &Evaluator<'_>) -> String {
    let both = ExprKind::And { left: Arc::new(Expr::val(true)), right: Arc::new(test.clone()) };
    match evaluator.interpret(&expression(both), &NO_SLOTS) {
        Err(error) => error.to_string(),
        Ok(value) => format!("type error: expected bool, got {value}"),
    }
}

fn expression(kind: ExprKind) -> Expr {
    ExprBuilder::new().with_expr_kind(kind)
}

/// A copy without places, in which some expressions may be replaced.
fn rebuild(original: &Expr, replace: &mut impl FnMut(&Expr) -> Option<Expr>) -> Expr {
    if let Some(replacement) = replace(original) {
        return replacement;
    }
    let mut part = |part: &Expr| rebuild(part, replace);
    let kind = match original.expr_kind() {
        ExprKind::If { test_expr, then_expr, else_expr } => ExprKind::If {
            test_expr: Arc::new(part(test_expr)),
            then_expr: Arc::new(part(then_expr)),
            else_expr: Arc::new(part(else_expr)),
        },
        ExprKind::And { left, right } => {
            ExprKind::And { left: Arc::new(part(left)), right: Arc::new(part(right)) }
        }
        ExprKind::Or { left, right } => {
            ExprKind::Or { left: Arc::new(part(left)), right: Arc::new(part(right)) }
        }
        ExprKind::UnaryApp { op, arg } => ExprKind::UnaryApp { op: *op, arg: Arc::new(part(arg)) },
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            ExprKind::BinaryApp { op: *op, arg1: Arc::new(part(arg1)), arg2: Arc::new(part(arg2)) }
        }
        ExprKind::ExtensionFunctionApp { fn_name, args } => ExprKind::ExtensionFunctionApp {
            fn_name: fn_name.clone(),
            args: Arc::new(args.iter().map(part).collect()),
        },
        ExprKind::GetAttr { expr, attr } => {
            ExprKind::GetAttr { expr: Arc::new(part(expr)), attr: attr.clone() }
        }
        ExprKind::HasAttr { expr, attr } => {
            ExprKind::HasAttr { expr: Arc::new(part(expr)), attr: attr.clone() }
        }
        ExprKind::ExtHasAttr { expr, attrs } => {
            ExprKind::ExtHasAttr { expr: Arc::new(part(expr)), attrs: attrs.clone() }
        }
        ExprKind::Like { expr, pattern } => {
            ExprKind::Like { expr: Arc::new(part(expr)), pattern: pattern.clone() }
        }
        ExprKind::Is { expr, entity_type } => {
            ExprKind::Is { expr: Arc::new(part(expr)), entity_type: entity_type.clone() }
        }
        ExprKind::Set(members) => ExprKind::Set(Arc::new(members.iter().map(part).collect())),
        ExprKind::Record(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.clone(), part(field)));
            ExprKind::Record(Arc::new(fields.collect()))
        }
        leaf @ (ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_)) => {
            leaf.clone()
        }
    };
    expression(kind)
}

/// `ip("...")` and its like on a literal that is one: parsed now, read from the context later.
fn constant(original: &Expr, constants: &mut Vec<Constant>) -> Option<Expr> {
    let ExprKind::ExtensionFunctionApp { fn_name, args } = original.expr_kind() else { return None };
    let [argument] = args.as_slice() else { return None };
    let ExprKind::Lit(Literal::String(text)) = argument.expr_kind() else { return None };
    let value = extension_value(fn_name, text)?;
    let name: Arc<str> = format!("{fn_name}({text:?})").into();
    let context = Arc::new(Expr::var(Var::Context));
    let read = expression(ExprKind::GetAttr { expr: context, attr: name.as_ref().into() });
    if !constants.iter().any(|known| known.name == name) {
        constants.push(Constant { name, value });
    }
    Some(read)
}

/// The value of an extension's constructor for one text; `None` if it has none.
pub(super) fn extension_value(constructor: &Name, text: &str) -> Option<Value> {
    let function = Extensions::all_available().func(constructor).ok()?;
    let argument = Value::new(Literal::from(text), None);
    let called = function.call(&[argument]).ok()?;
    Value::try_from(called).ok().filter(|value| matches!(value.value, ValueKind::ExtensionValue(_)))
}
