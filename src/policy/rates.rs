//! Whether a policy reads request rates.
//!
//! Each call changes them, so an answer that rests on one is good for that call alone and may not be reused.

use cedar_policy::Policy;
use cedar_policy::pst::{Clause, Expr, Var};

/// Whether the policy may read `context.rate`.
///
/// True also when the whole context is used as a value, since then nobody can say what is read, and when the
/// policy's conditions cannot be examined.
pub(super) fn may_be_read(policy: &Policy) -> bool {
    let Ok(tree) = policy.to_pst() else { return true };
    tree.body().clauses().iter().any(|clause| match clause {
        Clause::When(condition) | Clause::Unless(condition) => {
            condition.reduce(&reads_rate, &|a, b| a || b, false)
        }
    })
}

/// `Some` where the answer is certain without looking further into the expression.
fn reads_rate(expression: &Expr) -> Option<bool> {
    match expression {
        Expr::GetAttr { expr, attr } if is_context(expr) => Some(attr == "rate"),
        Expr::HasAttr { expr, attrs } if is_context(expr) => Some(attrs.first() == "rate"),
        Expr::Var(Var::Context) => Some(true),
        _ => None,
    }
}

fn is_context(expression: &Expr) -> bool {
    matches!(expression, Expr::Var(Var::Context))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(condition: &str) -> bool {
        let text = format!("forbid(principal, action, resource) {condition};");
        may_be_read(&text.parse().unwrap())
    }

    #[test]
    fn every_way_to_the_rates_is_found() {
        for condition in [
            "when { context.rate.principal.last_minute > 60 }",
            "when { context[\"rate\"].principal.last_minute > 60 }",
            "unless { context.rate.principal.last_minute < 60 }",
            "when { context has rate }",
            "when { context has rate.principal }",
            "when { true } when { [1].contains(context.rate.network.last_hour) }",
            "when { (if true then context else context).rate.principal.last_second > 1 }",
            "when { {a: context}.a.rate.principal.last_second > 1 }",
            "when { context == {} }",
        ] {
            assert!(reads(condition), "{condition}");
        }
    }

    #[test]
    fn other_attributes_and_other_rates_are_free() {
        for condition in [
            "",
            "when { context.risk.level > 1 && context has token }",
            "when { resource.rate > 1 }",
            "when { context.order.rate > 1 }",
            "when { context has order.rate }",
        ] {
            assert!(!reads(condition), "{condition}");
        }
    }
}
