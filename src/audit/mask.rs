//! Masking: what may not reach the trail is gone before anything is written.
//!
//! Values in a query string are masked unless their parameter is listed as harmless; path parameters are kept unless
//! listed. All text loses its control characters and has a bound, so that one caller can neither forge lines in an
//! export nor fill the store. Headers, tokens and bodies never get this far: a [`Record`] has no place for them.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Record;

/// What stands where something was masked.
const MASK: &str = "***";

/// Which parts of a path are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MaskConfig {
    /// Query parameters whose values are kept, by exact name; the values of all others are masked.
    pub kept_query_params: BTreeSet<String>,
    /// Path parameters whose values are masked, by the name in the template: `id` for `/orders/{id}`. A path that
    /// does not fit its template is then masked whole.
    pub masked_path_params: BTreeSet<String>,
}

/// Bounds in bytes. Those of `principal` and `resource` leave room in a Postgres index entry.
mod bound {
    pub(super) const NAME: usize = 256;
    pub(super) const INDEXED: usize = 1_024;
    pub(super) const PATH: usize = 2_048;
    pub(super) const DETAIL: usize = 1_024;
    pub(super) const ITEM: usize = 512;
    pub(super) const ITEMS: usize = 64;
}

/// Applies a [`MaskConfig`] to records.
#[derive(Clone, Debug, Default)]
pub struct Mask(MaskConfig);

impl Mask {
    pub fn new(config: MaskConfig) -> Self {
        Self(config)
    }

    /// Masks and bounds every text of the record. Doing it twice changes nothing more.
    pub fn apply(&self, record: &mut Record) {
        if let Some(path) = &record.path {
            record.path = Some(self.target(path, template(&record.resource)));
        }
        let names =
            [&mut record.replica, &mut record.action, &mut record.payload_sha256, &mut record.revision];
        names.into_iter().for_each(|text| clean(text, bound::NAME));
        let names = [
            &mut record.issuer,
            &mut record.token_sha256,
            &mut record.session,
            &mut record.oauth_client,
            &mut record.source_ip,
            &mut record.bundle,
            &mut record.trace_id,
        ];
        names.into_iter().flatten().for_each(|text| clean(text, bound::NAME));
        clean(&mut record.resource, bound::INDEXED);
        record.principal.iter_mut().for_each(|text| clean(text, bound::INDEXED));
        record.path.iter_mut().for_each(|text| clean(text, bound::PATH));
        record.detail.iter_mut().for_each(|text| clean(text, bound::DETAIL));
        record.refusals.truncate(bound::ITEMS);
        for list in [&mut record.policies, &mut record.policy_errors, &mut record.risk_reasons] {
            list.truncate(bound::ITEMS);
            list.iter_mut().for_each(|text| clean(text, bound::ITEM));
        }
    }

    /// A request target (RFC 9112, section 3.2) without what it may not tell.
    fn target(&self, target: &str, template: Option<&str>) -> String {
        let (target, fragment) = split(target, '#');
        let (path, query) = split(target, '?');
        let mut masked = self.path(without_authority(path), template);
        if let Some(query) = query {
            masked.push('?');
            let params: Vec<String> = query.split('&').map(|param| self.query_param(param)).collect();
            masked.push_str(&params.join("&"));
        }
        if fragment.is_some() {
            masked.push('#');
            masked.push_str(MASK);
        }
        masked
    }

    fn path(&self, path: &str, template: Option<&str>) -> String {
        let template: Vec<&str> = template.map(|template| template.split('/').collect()).unwrap_or_default();
        let segments: Vec<&str> = path.split('/').collect();
        let rest = template.iter().position(|part| part.starts_with("{*"));
        let secret = template.iter().any(|part| self.is_secret(part));
        let fits =
            if rest.is_some() { segments.len() >= template.len() } else { segments.len() == template.len() };
        if secret && !fits {
            return format!("/{MASK}");
        }
        let masked = segments.iter().enumerate().map(|(place, segment)| {
            let part = template.get(rest.map_or(place, |rest| place.min(rest)));
            if part.is_some_and(|part| self.is_secret(part)) { MASK.to_owned() } else { matrix(segment) }
        });
        masked.collect::<Vec<_>>().join("/")
    }

    /// Whether a segment of a template holds a parameter to mask: `{id}`, `{id}.json`, `{*rest}`.
    fn is_secret(&self, part: &str) -> bool {
        let names = part.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
        names.into_iter().any(|(name, _)| self.0.masked_path_params.contains(name.trim_start_matches('*')))
    }

    fn query_param(&self, param: &str) -> String {
        match param.split_once('=') {
            Some((name, _)) if self.0.kept_query_params.contains(name) => param.to_owned(),
            Some((name, _)) => format!("{name}={MASK}"),
            None if param.is_empty() => String::new(),
            // Without a name to judge by it is all value.
            None => MASK.to_owned(),
        }
    }
}

/// The path template in an endpoint's id, `<api>/<METHOD> <template>`.
fn template(resource: &str) -> Option<&str> {
    resource.split_once(' ').map(|(_, template)| template).filter(|template| template.starts_with('/'))
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// Scheme, user, password and host of the absolute form are not part of a path.
fn without_authority(path: &str) -> &str {
    if path.starts_with('/') || path == "*" {
        return path;
    }
    let rest = path.split_once("://").map_or(path, |(_, rest)| rest);
    rest.find('/').and_then(|slash| rest.get(slash..)).unwrap_or(MASK)
}

/// Parameters within a segment (`;jsessionid=...`) are masked like those of a query.
fn matrix(segment: &str) -> String {
    match segment.split_once(';') {
        Some((name, _)) => format!("{name};{MASK}"),
        None => segment.to_owned(),
    }
}

/// Takes control characters away and cuts to at most `bound` bytes, at a character's edge.
pub(super) fn clean(text: &mut String, bound: usize) {
    text.retain(|char| !char.is_control());
    if text.len() > bound {
        const CUT: char = '\u{2026}';
        text.truncate(text.floor_char_boundary(bound.saturating_sub(CUT.len_utf8())));
        text.push(CUT);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::audit::record::tests::{records, sample};

    fn mask(kept: &[&str], masked: &[&str]) -> Mask {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Mask::new(MaskConfig { kept_query_params: set(kept), masked_path_params: set(masked) })
    }

    fn path(mask: &Mask, resource: &str, path: &str) -> String {
        let mut record = Record { resource: resource.into(), path: Some(path.into()), ..sample() };
        mask.apply(&mut record);
        record.path.unwrap()
    }

    #[test]
    fn query_values_are_masked_unless_kept() {
        let masked = path(&mask(&["page"], &[]), "undeclared", "/a?page=2&token=s3cret&Page=3&flag&&x=");
        assert_eq!(masked, "/a?page=2&token=***&Page=***&***&&x=***");
    }

    #[test]
    fn secrets_in_unusual_places_are_masked() {
        let mask = Mask::default();
        assert_eq!(path(&mask, "", "/a;jsessionid=s3cret/b#access_token=s3cret"), "/a;***/b#***");
        assert_eq!(path(&mask, "", "https://user:s3cret@host/a?b=c"), "/a?b=***");
        assert_eq!(path(&mask, "", "user:s3cret@host"), "***");
        assert_eq!(path(&mask, "", "*"), "*");
    }

    #[test]
    fn listed_path_parameters_are_masked_by_their_template() {
        let mask = mask(&[], &["ssn", "rest"]);
        let at = |template: &str, given| path(&mask, &format!("api/GET {template}"), given);
        assert_eq!(at("/people/{ssn}/orders/{id}", "/people/123-45/orders/7"), "/people/***/orders/7");
        assert_eq!(at("/people/{ssn}.json", "/people/123-45.json"), "/people/***");
        assert_eq!(at("/files/{*rest}", "/files/a/b/c"), "/files/***/***/***");
        assert_eq!(at("/people/{ssn}", "/x/../people/123-45"), "/***");
        assert_eq!(at("/orders/{id}", "/orders/7/8"), "/orders/7/8");
    }

    #[test]
    fn control_characters_and_excess_are_cut() {
        let mut record = Record {
            resource: "a\r\nb\u{0}".into(),
            principal: Some("\u{e9}".repeat(2_000)),
            detail: Some("x".repeat(5_000)),
            policies: vec!["p".repeat(600); 100],
            ..sample()
        };
        Mask::default().apply(&mut record);
        assert_eq!(record.resource, "ab");
        let principal = record.principal.unwrap();
        assert!(principal.len() <= 1_024 && principal.ends_with('\u{2026}'));
        assert_eq!(record.detail.unwrap().len(), 1_024);
        assert_eq!((record.policies.len(), record.policies[0].len()), (64, 512));
    }

    proptest! {
        #[test]
        fn masking_twice_is_masking_once(record in records()) {
            let mut once = record;
            let mask = mask(&["a"], &["id"]);
            mask.apply(&mut once);
            let mut twice = once.clone();
            mask.apply(&mut twice);
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn no_query_value_survives(value in "[a-z0-9]{12}", name in "[A-Z%;/?]{0,4}") {
            let masked = path(&Mask::default(), "undeclared", &format!("/p?{name}={value}&{value}"));
            prop_assert!(!masked.contains(&value), "{}", masked);
        }
    }
}
