//! A template for a path that nobody declared.
//!
//! Undeclared traffic is counted by template, so segments that look like identifiers are collapsed, and everything is
//! bounded: whoever scans an API must not be able to fill the inventory, nor to write another endpoint's name.

use percent_encoding::utf8_percent_encode;
use uuid::Uuid;

use super::path::SEGMENT;

/// Segments kept; the rest become `{rest}`.
const MAX_SEGMENTS: usize = 12;
/// A segment that is longer than this once encoded is no word of an API.
const MAX_SEGMENT: usize = 48;

/// The template of a decoded path: `/orders/42/lines` becomes `/orders/{id}/lines`.
///
/// Braces of the path itself are encoded, so that no caller can spell a declared template.
pub(super) fn discovered_template(path: &str) -> String {
    let mut template = String::new();
    for (number, segment) in path.split('/').skip(1).enumerate() {
        template.push('/');
        if number == MAX_SEGMENTS {
            template.push_str("{rest}");
            break;
        }
        let encoded = utf8_percent_encode(segment, SEGMENT).to_string();
        let opaque = encoded.len() > MAX_SEGMENT || looks_like_id(segment);
        template.push_str(if opaque { "{id}" } else { &encoded });
    }
    template
}

/// Numbers, UUIDs, long hexadecimal, long words with digits, and addresses (which are personal besides).
fn looks_like_id(segment: &str) -> bool {
    let has_digit = segment.bytes().any(|byte| byte.is_ascii_digit());
    let all = |test: fn(&u8) -> bool| !segment.is_empty() && segment.as_bytes().iter().all(test);
    all(u8::is_ascii_digit)
        || (segment.len() >= 12 && has_digit && all(u8::is_ascii_hexdigit))
        || (segment.len() >= 20 && has_digit)
        || segment.contains('@')
        || Uuid::try_parse(segment).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identifiers_collapse_and_words_stay() {
        for (path, template) in [
            ("/", "/"),
            ("/orders/42/lines", "/orders/{id}/lines"),
            ("/orders/42/", "/orders/{id}/"),
            ("/v1/users/0198c5a0-7b3c-7000-8000-000000000000", "/v1/users/{id}"),
            ("/blobs/deadbeef0123", "/blobs/{id}"),
            ("/t/eyJhbGciOiJSUzI1NiJ9abc", "/t/{id}"),
            ("/people/alice@example.com", "/people/{id}"),
            ("/internal/debug/facade", "/internal/debug/facade"),
        ] {
            assert_eq!(discovered_template(path), template);
        }
    }

    #[test]
    fn a_caller_cannot_spell_a_template() {
        assert_eq!(discovered_template("/orders/{id}"), "/orders/%7Bid%7D");
    }

    proptest! {
        #[test]
        fn templates_are_bounded_and_printable(segments in prop::collection::vec("[^/]{0,80}", 0..40)) {
            let template = discovered_template(&format!("/{}", segments.join("/")));
            prop_assert!(template.len() <= (MAX_SEGMENT + 1) * (MAX_SEGMENTS + 1));
            prop_assert!(template.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
