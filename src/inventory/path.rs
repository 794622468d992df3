//! The one path parser: a raw request target becomes a decoded path and query pairs, or is refused.
//!
//! A gateway, a PDP and an upstream that read one path differently are how access control is walked around. So what
//! two parsers could read in two ways is refused here and never repaired; nobody else decodes a path. Which
//! endpoint the path belongs to is left to `router`.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::refusal::InventoryRefusal;

/// How large a request target may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of path and query together, undecoded.
    pub max_bytes: usize,
    pub max_query_params: usize,
}

/// A request target (RFC 9112, origin-form) that can be read in one way only.
///
/// INVARIANT: no segment is empty (but for the last one, of a path that ends with a slash), is `.` or `..`, or holds
/// a slash, a backslash, a semicolon, a control character or something that decodes once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTarget {
    path: String,
    query: Vec<(String, String)>,
}

impl RequestTarget {
    /// Parses path and query as the gateway received them.
    ///
    /// `/orders/` is not `/orders`: a trailing slash is kept, so it matches only a template that has one too.
    pub fn parse(raw: &str, bounds: Bounds) -> Result<Self, InventoryRefusal> {
        if raw.len() > bounds.max_bytes {
            let (got, most) = (raw.len(), bounds.max_bytes);
            return Err(InventoryRefusal::too_large(format!(
                "the target has {got} bytes, at most {most} are read"
            )));
        }
        check_form(raw).map_err(InventoryRefusal::path_unsafe)?;
        let (path, query) = raw.split_once('?').unwrap_or((raw, ""));
        Ok(Self { path: decode_path(path)?, query: decode_query(query, bounds.max_query_params)? })
    }

    /// The decoded path, beginning with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The decoded query: pairs in the order of the query string; a name may repeat.
    pub fn query(&self) -> &[(String, String)] {
        &self.query
    }

    pub fn into_parts(self) -> (String, Vec<(String, String)>) {
        (self.path, self.query)
    }

    /// The one spelling that this parser itself would write; parses back to the same target.
    pub fn canonical(&self) -> String {
        let mut text = String::with_capacity(self.path.len() + 1);
        for segment in self.path.split('/').skip(1) {
            text.push('/');
            text.extend(utf8_percent_encode(segment, SEGMENT));
        }
        for (number, (name, value)) in self.query.iter().enumerate() {
            text.push(if number == 0 { '?' } else { '&' });
            text.extend(utf8_percent_encode(name, QUERY));
            text.push('=');
            text.extend(utf8_percent_encode(value, QUERY));
        }
        text
    }
}

/// What is written as itself in a canonical path segment: the unreserved characters of RFC 3986, and a few that are
/// plain inside a segment.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'(')
    .remove(b')')
    .remove(b',')
    .remove(b':')
    .remove(b'@')
    .remove(b'=');

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Refuses what is wrong before anything is decoded.
fn check_form(raw: &str) -> Result<(), &'static str> {
    if !raw.starts_with('/') {
        return Err(match raw {
            "" => "the target is empty",
            _ if raw.contains("://") => "the target is in absolute form; only a path is read",
            _ => "the target does not begin with a slash",
        });
    }
    for byte in raw.bytes() {
        match byte {
            b'#' => return Err("the target has a fragment"),
            b' ' => return Err("the target has a raw space"),
            0..0x20 | 0x7f => return Err("the target has a raw control byte"),
            0x80.. => return Err("the target has raw bytes that are not ASCII"),
            _ => {}
        }
    }
    Ok(())
}

fn decode_path(raw: &str) -> Result<String, InventoryRefusal> {
    let mut path = String::with_capacity(raw.len());
    let mut segments = raw.split('/').skip(1).enumerate().peekable();
    while let Some((number, segment)) = segments.next() {
        path.push('/');
        let trailing_slash = segment.is_empty() && segments.peek().is_none();
        if !trailing_slash {
            let at = |why| InventoryRefusal::path_unsafe(format!("path segment {}: {why}", number + 1));
            path.push_str(&decode_segment(segment).map_err(at)?);
        }
    }
    Ok(path)
}

/// Decodes one whole segment. The error says what is unsafe about it.
pub(super) fn decode_segment(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let segment = decode_literal(raw)?;
    match segment.as_ref() {
        "" => Err("it is empty"),
        "." | ".." => Err("it is a dot segment"),
        _ => Ok(segment),
    }
}

/// Decodes a part of a segment.
pub(super) fn decode_literal(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if raw.bytes().all(is_unreserved) {
        return Ok(Cow::Borrowed(raw));
    }
    let bytes = percent_decode(raw.as_bytes())?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 once decoded")?;
    for character in text.chars() {
        match character {
            '/' => return Err("it has an encoded slash"),
            '\\' => return Err("it has a backslash"),
            ';' => return Err("it has a semicolon: parsers disagree on path parameters"),
            _ if character.is_control() => return Err("it has a control character"),
            _ => {}
        }
    }
    if decodes_again(text.as_bytes()) {
        return Err("it is encoded twice");
    }
    Ok(Cow::Owned(text))
}

/// Whether a byte stands for itself in any path (RFC 3986, section 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether what came out of decoding still holds a percent escape.
fn decodes_again(decoded: &[u8]) -> bool {
    decoded.windows(3).any(
        |window| matches!(window, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()),
    )
}

fn percent_decode(raw: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            decoded.push(*first);
            rest = tail;
            continue;
        }
        let [high, low, tail @ ..] = tail else { return Err("it has a percent sign without two hex digits") };
        let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low)) else {
            return Err("it has a percent sign without two hex digits");
        };
        decoded.push(high << 4 | low);
        rest = tail;
    }
    Ok(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Decodes `a=1&b=2` (`application/x-www-form-urlencoded`: a plus is a space). Empty pieces are skipped.
fn decode_query(raw: &str, at_most: usize) -> Result<Vec<(String, String)>, InventoryRefusal> {
    // Some parsers split at semicolons too, and would find parameters that policies never saw.
    if raw.contains(';') {
        return Err(InventoryRefusal::path_unsafe("the query has a raw semicolon: some parsers split there"));
    }
    let mut pairs = Vec::new();
    for (number, piece) in raw.split('&').filter(|piece| !piece.is_empty()).enumerate() {
        if number == at_most {
            let detail = format!("the query has more than {at_most} parameters");
            return Err(InventoryRefusal::too_large(detail));
        }
        let at = |why| InventoryRefusal::path_unsafe(format!("query parameter {}: {why}", number + 1));
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        pairs.push((decode_form(name).map_err(at)?, decode_form(value).map_err(at)?));
    }
    Ok(pairs)
}

fn decode_form(raw: &str) -> Result<String, &'static str> {
    let bytes = percent_decode(raw.replace('+', " ").as_bytes())?;
    if bytes.contains(&0) {
        return Err("it has an encoded NUL");
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 once decoded")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Reason, RequestFault};

    const BOUNDS: Bounds = Bounds { max_bytes: 256, max_query_params: 4 };

    fn parse(raw: &str) -> Result<RequestTarget, InventoryRefusal> {
        RequestTarget::parse(raw, BOUNDS)
    }

    fn path(raw: &str) -> String {
        parse(raw).unwrap().path().to_owned()
    }

    fn fault(raw: &str) -> RequestFault {
        match parse(raw) {
            Err(InventoryRefusal { reason: Reason::RequestInvalid(fault), .. }) => fault,
            other => panic!("{raw:?} gave {other:?}"),
        }
    }

    #[test]
    fn plain_paths_are_decoded_once() {
        assert_eq!(path("/"), "/");
        assert_eq!(path("/orders/42"), "/orders/42");
        assert_eq!(path("/%41/caf%C3%A9/a+b/100%25"), "/A/café/a+b/100%");
        assert_eq!(path("/pkg.Orders/Get"), "/pkg.Orders/Get");
        assert_eq!(path("/..."), "/...");
    }

    #[test]
    fn a_trailing_slash_is_another_path() {
        assert_eq!(path("/orders/"), "/orders/");
        assert_ne!(parse("/orders/"), parse("/orders"));
    }

    #[test]
    fn paths_that_two_parsers_read_differently_are_refused() {
        for raw in [
            "",
            "orders",
            "*",
            "https://api.example.com/orders",
            "//",
            "//evil.example.com/orders",
            "/a//b",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/.%2e",
            "/a/../b//c%2Fd/%2e%2e/e",
            "/x;y=1/..;/admin/./",
            "/admin;x=1",
            "/admin%3Bx",
            "/a%2Fb",
            "/a%2fb",
            "/a%5Cb",
            "/a%5cb",
            "/a\\b",
            "/..\\admin",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/a%00b",
            "/a%0d%0aX",
            "/a%7f",
            "/a%C2%85",
            "/a\u{0}b",
            "/a\tb",
            "/a b",
            "/café",
            "/a%FF",
            "/a%C0%AFb",
            "/a%252Fb",
            "/a%252e%252e",
            "/a%25%32%46b",
            "/a#b",
            "/a?b#c",
        ] {
            assert_eq!(fault(raw), RequestFault::PathUnsafe, "{raw:?}");
        }
    }

    #[test]
    fn the_detail_says_where_and_never_repeats_the_path() {
        let refusal = parse("/orders/s3cret%2Fvalue").unwrap_err();
        assert_eq!(refusal.detail, "path segment 2: it has an encoded slash");
    }

    #[test]
    fn queries_keep_order_and_repetition() {
        let pairs = |raw: &str| parse(raw).unwrap().into_parts().1;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("/a?b=2&a=1&b=%26+c"), [pair("b", "2"), pair("a", "1"), pair("b", "& c")]);
        assert_eq!(pairs("/a?flag&&x=1=2"), [pair("flag", ""), pair("x", "1=2")]);
        assert_eq!(pairs("/a?next=%2Fb%3Fc%3D%252F?"), [pair("next", "/b?c=%2F?")]);
        assert_eq!(pairs("/a?"), []);
    }

    #[test]
    fn unsafe_queries_are_refused() {
        for raw in ["/a?b=%", "/a?b=%zz", "/a?%ff=1", "/a?b=%00", "/a?b=1;admin=1", "/a?b=\u{7}"] {
            assert_eq!(fault(raw), RequestFault::PathUnsafe, "{raw:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_as_that() {
        assert_eq!(fault(&format!("/{}", "a".repeat(256))), RequestFault::TooLarge);
        assert_eq!(fault("/a?1&2&3&4&5"), RequestFault::TooLarge);
        assert!(parse("/a?1&2&3&4").is_ok());
    }

    fn targets() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "(/|%2f|%2E|\\.|;|%25|%|[a-c]|%4[0-9]|\\?|&|=|\\+|%C3%A9|\\\\|%5c|%00){0,24}"
                .prop_map(|s| format!("/{s}")),
        ]
    }

    proptest! {
        #[test]
        fn an_accepted_target_has_one_meaning(raw in targets()) {
            let Ok(target) = parse(&raw) else { return Ok(()) };
            let again = RequestTarget::parse(&target.canonical(), Bounds { max_bytes: 4096, ..BOUNDS });
            prop_assert_eq!(again.as_ref(), Ok(&target));
            let segments: Vec<&str> = target.path().split('/').skip(1).collect();
            for (number, segment) in segments.iter().enumerate() {
                let unsafe_character = |c: char| c == '\\' || c == ';' || c.is_control();
                prop_assert!(!segment.chars().any(unsafe_character));
                prop_assert!(!matches!(*segment, "." | ".."));
                prop_assert!(!segment.is_empty() || number + 1 == segments.len());
            }
        }
    }
}
