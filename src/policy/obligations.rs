//! Annotations: what a policy promises to those who enforce it.
//!
//! Each annotation is checked when the bundle is compiled, so that a typing error is a message with a line and not
//! a gap. [`ANNOTATIONS`] is the one table of their names. Which of them count in one decision is `evaluate`'s.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Obligation, PolicyId};

use super::snapshot::PolicyEffect;

/// One annotation that policies may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnotationRule {
    pub name: &'static str,
    /// Whether it travels to the PEP as an obligation when its policy determines the answer.
    pub obligation: bool,
    pub meaning: &'static str,
}

const fn fact(name: &'static str, meaning: &'static str) -> AnnotationRule {
    AnnotationRule { name, obligation: false, meaning }
}

const fn obligation(name: &'static str, meaning: &'static str) -> AnnotationRule {
    AnnotationRule { name, obligation: true, meaning }
}

/// Every annotation with a meaning. Others are allowed and only warned of.
pub const ANNOTATIONS: [AnnotationRule; 13] = [
    fact("id", "the policy's name in answers and records; required and unique in the bundle"),
    fact("owner", "who to ask about the policy"),
    fact("reason", "one sentence for the caller's users, shown when the policy determines the answer"),
    fact("severity", "how bad it is when the policy denies, for alerts"),
    fact("step_up", "forbid only: the acr values, separated by spaces, that would lift it (RFC 9470)"),
    fact("max_age", "with step_up: the greatest age in seconds that the authentication may have (RFC 9470)"),
    fact("retry_after", "forbid only: in how many seconds the caller may try again (429, Retry-After)"),
    fact("insufficient_scope", "forbid only: a token with the declared scopes would lift it (RFC 6750)"),
    obligation("advice", "text that the PEP should pass on"),
    obligation("mask", "names of fields, separated by commas, that the PEP must remove from the response"),
    obligation("limit", "the number of items that the PEP may let through"),
    obligation("log", "the level at which the PEP must log the call: debug, info, warn or error"),
    obligation("notify", "whom the PEP must tell about the call"),
];

/// What would lift a forbid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    StepUp { acr_values: Vec<String>, max_age: Option<Duration> },
    RetryAfter(Duration),
    InsufficientScope,
}

/// A policy's annotations, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub remedy: Option<Remedy>,
    pub obligations: Vec<Obligation>,
    /// `@reason`, cleaned.
    pub reason: Option<Arc<str>>,
}

/// An annotation that cannot be meant as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadAnnotation {
    pub name: &'static str,
    pub why: String,
}

/// The longest value that travels to a PEP, in bytes: gateways bound their headers at a few thousand for all.
const MAX_VALUE: usize = 256;

/// Reads what a policy's annotations say. `value` looks one up by name.
pub(super) fn read<'a>(
    id: &PolicyId,
    effect: PolicyEffect,
    value: impl Fn(&'static str) -> Option<&'a str>,
) -> Result<Terms, Vec<BadAnnotation>> {
    let mut bad = Vec::new();
    let remedy = remedy(effect, &value).unwrap_or_else(|wrong| {
        bad.push(wrong);
        None
    });
    let mut obligations = Vec::new();
    for rule in ANNOTATIONS.iter().filter(|rule| rule.obligation) {
        let Some(text) = value(rule.name) else { continue };
        match check_obligation(rule.name, text) {
            Ok(()) => obligations.push(Obligation {
                name: rule.name.to_owned(),
                value: clean(text),
                policy: id.clone(),
            }),
            Err(why) => bad.push(BadAnnotation { name: rule.name, why }),
        }
    }
    if bad.is_empty() {
        Ok(Terms { remedy, obligations, reason: value("reason").map(|text| clean(text).into()) })
    } else {
        Err(bad)
    }
}

pub(super) fn is_known(name: &str) -> bool {
    ANNOTATIONS.iter().any(|rule| rule.name == name)
}

/// The names of all annotations, for messages.
pub(super) fn known_names() -> String {
    ANNOTATIONS.map(|rule| rule.name).join(", ")
}

fn remedy<'a>(
    effect: PolicyEffect,
    value: &impl Fn(&'static str) -> Option<&'a str>,
) -> Result<Option<Remedy>, BadAnnotation> {
    let remedies = ["step_up", "retry_after", "insufficient_scope"];
    let mut present = remedies.into_iter().filter(|name| value(name).is_some());
    let (first, second) = (present.next(), present.next());
    let bad = |name, why: &str| Err(BadAnnotation { name, why: why.to_owned() });
    if let Some(second) = second {
        return bad(
            second,
            "a forbid has at most one of `@step_up`, `@retry_after` and `@insufficient_scope`",
        );
    }
    if first != Some("step_up") && value("max_age").is_some() {
        return bad("max_age", "`@max_age` belongs to `@step_up`");
    }
    let Some(name) = first else { return Ok(None) };
    if effect == PolicyEffect::Permit {
        return bad(name, "only a forbid can be lifted; on a permit this says nothing");
    }
    let text = value(name).unwrap_or_default();
    match name {
        "step_up" => step_up(text, value("max_age")).map(Some),
        "retry_after" => seconds("retry_after", text).map(|after| Some(Remedy::RetryAfter(after))),
        _ => Ok(Some(Remedy::InsufficientScope)),
    }
}

fn step_up(acr_values: &str, max_age: Option<&str>) -> Result<Remedy, BadAnnotation> {
    let bad = |why: String| Err(BadAnnotation { name: "step_up", why });
    let max_age = max_age.map(|text| seconds("max_age", text)).transpose()?;
    let acr_values: Vec<String> = acr_values.split_whitespace().map(str::to_owned).collect();
    if acr_values.is_empty() && max_age.is_none() {
        return bad("`@step_up` names no acr value; without one it needs `@max_age`".to_owned());
    }
    // A quote or a backslash would end the quoted string of the challenge header.
    let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    match acr_values.iter().find(|acr| !fits(acr)) {
        Some(acr) => {
            bad(format!("the acr value `{acr}` cannot stand in a challenge: use printable ASCII, no quotes"))
        }
        None => Ok(Remedy::StepUp { acr_values, max_age }),
    }
}

fn seconds(name: &'static str, text: &str) -> Result<Duration, BadAnnotation> {
    let parsed = text.parse::<u32>().ok().filter(|seconds| *seconds > 0);
    let why =
        || format!("`{text}` is not a number of seconds: write an integer from 1, as in `@{name}(\"60\")`");
    parsed
        .map(|seconds| Duration::from_secs(u64::from(seconds)))
        .ok_or_else(|| BadAnnotation { name, why: why() })
}

fn check_obligation(name: &str, text: &str) -> Result<(), String> {
    let fits = match name {
        "limit" => text.parse::<u32>().is_ok(),
        "log" => ["debug", "info", "warn", "error"].contains(&text),
        "mask" => text.split(',').all(|field| !field.trim().is_empty()),
        _ => !text.trim().is_empty(),
    };
    let meaning = ANNOTATIONS.iter().find(|rule| rule.name == name).map_or("", |rule| rule.meaning);
    if fits { Ok(()) } else { Err(format!("`@{name}(\"{text}\")` is not {meaning}")) }
}

/// Makes text fit for a header: printable ASCII only and no longer than [`MAX_VALUE`]. A line break in a header
/// value would let a policy text begin a header of its own.
fn clean(text: &str) -> String {
    let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.trim().chars().map(printable).take(MAX_VALUE).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(effect: PolicyEffect, annotations: &[(&str, &str)]) -> Result<Terms, Vec<BadAnnotation>> {
        let value =
            |name: &str| annotations.iter().find(|(found, _)| *found == name).map(|(_, value)| *value);
        read(&"p".parse().unwrap(), effect, value)
    }

    fn forbid(annotations: &[(&str, &str)]) -> Result<Terms, Vec<BadAnnotation>> {
        terms(PolicyEffect::Forbid, annotations)
    }

    #[test]
    fn step_up_reads_acr_values_and_age() {
        let found = forbid(&[("step_up", "urn:a  urn:b"), ("max_age", "300")]).unwrap().remedy;
        let acr_values = vec!["urn:a".to_owned(), "urn:b".to_owned()];
        assert_eq!(found, Some(Remedy::StepUp { acr_values, max_age: Some(Duration::from_secs(300)) }));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_annotation_named() {
        let named = |annotations: &[(&str, &str)]| forbid(annotations).unwrap_err()[0].name;
        assert_eq!(named(&[("step_up", "")]), "step_up");
        assert_eq!(named(&[("step_up", "a\"b")]), "step_up");
        assert_eq!(named(&[("step_up", "a"), ("max_age", "soon")]), "max_age");
        assert_eq!(named(&[("max_age", "300")]), "max_age");
        assert_eq!(named(&[("retry_after", "-1")]), "retry_after");
        assert_eq!(named(&[("retry_after", "0")]), "retry_after");
        assert_eq!(named(&[("step_up", "a"), ("retry_after", "5")]), "retry_after");
        assert_eq!(named(&[("limit", "many")]), "limit");
        assert_eq!(named(&[("log", "loud")]), "log");
        assert_eq!(named(&[("mask", "a,,b")]), "mask");
    }

    #[test]
    fn a_permit_has_no_remedy() {
        assert_eq!(terms(PolicyEffect::Permit, &[("retry_after", "5")]).unwrap_err()[0].name, "retry_after");
    }

    #[test]
    fn every_obligation_travels_with_its_policy() {
        let found =
            forbid(&[("mask", "iban"), ("advice", "ask\r\nX: y"), ("owner", "team")]).unwrap().obligations;
        let pairs: Vec<_> =
            found.iter().map(|o| (o.name.as_str(), o.value.as_str(), o.policy.as_str())).collect();
        assert_eq!(pairs, [("advice", "ask??X: y", "p"), ("mask", "iban", "p")]);
    }

    proptest! {
        #[test]
        fn cleaned_text_always_fits_a_header(text in ".*") {
            let cleaned = clean(&text);
            prop_assert!(cleaned.len() <= MAX_VALUE);
            prop_assert!(cleaned.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        }
    }
}
