//! Masking: what may not reach the trail is gone before a record is queued.
//!
//! Values in a query string are masked unless their parameter is listed as harmless; path parameters are kept unless
//! listed. All text loses its control characters and has a bound, so that one caller can neither forge lines in an
//! export nor fill the queue or the store. Headers, tokens and bodies never get this far: a [`Record`] has no place
//! for them.

use std::borrow::Cow;
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
    /// Path parameters whose values are masked, by the name in the template: `id` for `/orders/{id}`. When any are
    /// listed, a path without a template (of no declared endpoint, or refused as unsafe) is masked whole, and so is
    /// one that does not fit its template.
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
    /// All items of one list together.
    pub(super) const LIST: usize = 8_192;
}

/// What one masked record takes at most when it is encoded, in bytes. An ordinary one takes less than 1 KiB.
pub const LARGEST_RECORD: usize = 48 * 1_024;

/// Applies a [`MaskConfig`] to records.
#[derive(Clone, Debug, Default)]
pub struct Mask(MaskConfig);

impl Mask {
    pub fn new(config: MaskConfig) -> Self {
        Self(config)
    }

    /// Masks and bounds every text of the record, so that it is at most [`LARGEST_RECORD`] when it is encoded. A text
    /// that is fine stays the borrowed one.
    pub fn apply(&self, record: &mut Record<'_>) {
        if let Some(path) = record.path.as_deref().filter(|path| !self.keeps_all_of(path)) {
            record.path = Some(self.target(path, template(&record.resource)).into());
        }
        let names = [&mut record.replica, &mut record.action, &mut record.revision];
        names.into_iter().for_each(|text| clean(text, bound::NAME));
        let names = [
            &mut record.issuer,
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
        let lists = [&mut record.policies, &mut record.policy_errors, &mut record.risk_reasons];
        lists.into_iter().for_each(clean_list);
    }

    /// Whether a request target is a path in which nothing can be masked, as most are.
    fn keeps_all_of(&self, target: &str) -> bool {
        let marked = target.bytes().any(|byte| matches!(byte, b'?' | b'#' | b';'));
        self.0.masked_path_params.is_empty() && target.starts_with('/') && !marked
    }

    /// A request target (RFC 9112, section 3.2) without what it may not tell.
    fn target(&self, target: &str, template: Option<&str>) -> String {
        let (target, fragment) = split(target, '#');
        let (path, query) = split(target, '?');
        let mut masked = self.path(without_authority(path), template);
        if let Some(query) = query {
            // What lies beyond the bound is cut anyway: it is not worth masking.
            for (place, param) in head(query, bound::PATH).split('&').enumerate() {
                masked.push(if place == 0 { '?' } else { '&' });
                self.push_query_param(&mut masked, param);
            }
        }
        if fragment.is_some() {
            masked.push('#');
            masked.push_str(MASK);
        }
        masked
    }

    fn path(&self, path: &str, template: Option<&str>) -> String {
        let template: Vec<&str> = match template {
            _ if self.0.masked_path_params.is_empty() => Vec::new(),
            Some(template) => template.split('/').collect(),
            // Nobody can tell which of its segments is a listed parameter.
            None => return format!("/{MASK}"),
        };
        let secret = template.iter().any(|part| self.is_secret(part));
        let rest = template.iter().position(|part| part.starts_with("{*"));
        if secret && !fits(path, template.len(), rest.is_some()) {
            return format!("/{MASK}");
        }
        let mut masked = String::with_capacity(path.len().min(bound::PATH));
        for (place, segment) in head(path, bound::PATH).split('/').enumerate() {
            if place > 0 {
                masked.push('/');
            }
            let part = template.get(rest.map_or(place, |rest| place.min(rest)));
            if part.is_some_and(|part| self.is_secret(part)) {
                masked.push_str(MASK);
            } else {
                push_segment(&mut masked, segment);
            }
        }
        masked
    }

    /// Whether a segment of a template holds a parameter to mask: `{id}`, `{id}.json`, `{*rest}`.
    fn is_secret(&self, part: &str) -> bool {
        let names = part.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
        names.into_iter().any(|(name, _)| self.0.masked_path_params.contains(name.trim_start_matches('*')))
    }

    fn push_query_param(&self, masked: &mut String, param: &str) {
        match param.split_once('=') {
            Some((name, _)) if self.0.kept_query_params.contains(name) => masked.push_str(param),
            Some((name, _)) => {
                masked.push_str(name);
                masked.push('=');
                masked.push_str(MASK);
            }
            None if param.is_empty() => {}
            // Without a name to judge by it is all value.
            None => masked.push_str(MASK),
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

/// Whether a path has as many segments as its template, or at least as many when a `{*rest}` takes several.
fn fits(path: &str, parts: usize, open_ended: bool) -> bool {
    let segments = path.split('/').count();
    if open_ended { segments >= parts } else { segments == parts }
}

/// Parameters within a segment (`;jsessionid=...`) are masked like those of a query.
fn push_segment(masked: &mut String, segment: &str) {
    match segment.split_once(';') {
        Some((name, _)) => {
            masked.push_str(name);
            masked.push(';');
            masked.push_str(MASK);
        }
        None => masked.push_str(segment),
    }
}

/// The first `bound` bytes and up to one character more, so that [`clean`] sees that something was cut.
fn head(text: &str, bound: usize) -> &str {
    text.get(..text.ceil_char_boundary(bound.saturating_add(1))).unwrap_or(text)
}

fn clean_list(list: &mut Vec<Cow<'_, str>>) {
    list.truncate(bound::ITEMS);
    let mut room = bound::LIST;
    let mut kept: usize = 0;
    for text in list.iter_mut() {
        clean(text, bound::ITEM);
        let Some(left) = room.checked_sub(text.len()) else { break };
        room = left;
        kept = kept.saturating_add(1);
    }
    list.truncate(kept);
}

/// Takes control characters away and cuts to at most `bound` bytes, at a character's edge. Looks at no more than the
/// bound, however long the text is.
pub(super) fn clean(text: &mut Cow<'_, str>, bound: usize) {
    const CUT: char = '\u{2026}';
    let cut = text.len() > bound;
    let end = if cut { text.floor_char_boundary(bound.saturating_sub(CUT.len_utf8())) } else { text.len() };
    let kept = text.get(..end).unwrap_or_default();
    // In UTF-8 the bytes of all control characters begin with one of these, and few other characters do.
    // Without an early end, so that the compiler looks at many bytes at once; in eights, because texts are short.
    let suspect = |bytes: &[u8]| {
        bytes.iter().fold(false, |found, byte| found | (*byte < 0x20 || *byte == 0x7f || *byte == 0xc2))
    };
    let (eights, rest) = kept.as_bytes().as_chunks::<8>();
    let suspect = eights.iter().fold(suspect(rest), |found, eight| found | suspect(eight));
    if !cut && !suspect {
        return;
    }
    let mut cleaned: String = kept.chars().filter(|char| !char.is_control()).collect();
    if cut {
        cleaned.push(CUT);
    }
    *text = Cow::Owned(cleaned);
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
        record.path.unwrap().into_owned()
    }

    #[test]
    fn query_values_are_masked_unless_kept() {
        let masked = path(&mask(&["page"], &[]), "undeclared", "/a?page=2&token=s3cret&Page=3&flag&&x=");
        assert_eq!(masked, "/a?page=2&token=***&Page=***&***&&x=***");
    }

    #[test]
    fn a_path_without_a_template_is_masked_whole_when_parameters_are_listed() {
        let mask = mask(&["page"], &["ssn"]);
        for resource in ["", "undeclared", "api/GET", "Doc::\"/people/{id}\""] {
            let masked = path(&mask, resource, "/people/123-45/%2e%2e/x?page=2&ssn=123-45");
            assert_eq!(masked, "/***?page=2&ssn=***", "{resource}");
        }
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
            principal: Some("\u{e9}".repeat(2_000).into()),
            detail: Some("x".repeat(5_000).into()),
            policies: vec!["p".repeat(600).into(); 100],
            ..sample()
        };
        Mask::default().apply(&mut record);
        assert_eq!(record.resource, "ab");
        let principal = record.principal.unwrap();
        assert!(principal.len() <= 1_024 && principal.ends_with('\u{2026}'));
        assert_eq!(record.detail.unwrap().len(), 1_024);
        assert_eq!((record.policies.len(), record.policies[0].len()), (16, 512));
    }

    #[test]
    fn a_path_beyond_its_bound_keeps_no_secret_in_a_shifted_place() {
        let mask = mask(&[], &["ssn"]);
        let long = format!("/./people/123-45/{}/x", "y".repeat(3_000));
        assert_eq!(path(&mask, "api/GET /people/{ssn}/{a}/{b}", &long), "/***");
        let fits = format!("/people/123-45/{}?a=s3cret", "y".repeat(3_000));
        let masked = path(&mask, "api/GET /people/{ssn}/{a}", &fits);
        assert!(masked.starts_with("/people/***/yyy") && masked.ends_with('\u{2026}'), "{masked}");
        assert_eq!(masked.len(), 2_048);
    }

    #[test]
    fn the_largest_record_is_bounded_whatever_came_in() {
        let huge = || Cow::Owned("\u{7}x/;&=\u{e9}".repeat(100_000));
        let list = || vec![huge(); 200];
        let mut record = Record {
            replica: huge(),
            principal: Some(huge()),
            issuer: Some(huge()),
            session: Some(huge()),
            oauth_client: Some(huge()),
            action: huge(),
            resource: huge(),
            path: Some(format!("/{}?{}", huge(), huge()).into()),
            source_ip: Some(huge()),
            refusals: vec![crate::model::Reason::Internal; 100_000],
            policies: list(),
            policy_errors: vec!["e".repeat(127).into(); 5_000],
            detail: Some(huge()),
            bundle: Some(huge()),
            revision: huge(),
            risk_reasons: list(),
            trace_id: Some(huge()),
            ..sample()
        };
        Mask::default().apply(&mut record);
        let length = crate::audit::encode(&record).len();
        assert!(length <= LARGEST_RECORD, "{length}");
        assert!(!format!("{record:?}").contains("\\u{7}"));
    }

    proptest! {
        #[test]
        fn a_target_of_which_all_is_kept_is_the_same_when_it_is_taken_apart(target in "/?[a-z/;?#&=%.]{0,12}") {
            let mask = Mask::default();
            let (kept, masked) = (mask.keeps_all_of(&target), mask.target(&target, Some("/{id}/{*rest}")));
            prop_assert_eq!(kept, target.starts_with('/') && !target.contains(['?', '#', ';']));
            prop_assert!(!kept || masked == target);
        }

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
