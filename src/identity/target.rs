//! The request that a proof must be about: its method, and its URI in the one spelling in which two URIs compare.
//!
//! RFC 9449 section 4.3 compares after the syntax and scheme normalisation of RFC 3986 section 6.2. Dot segments are
//! not resolved: a call that holds some is refused long before, so a proof that does is for another URI.

use std::borrow::Cow;

use crate::model::{InvalidOrigin, Origin};

/// What was called, as the client saw it.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    method: &'a str,
    origin: Origin,
    /// Normalised.
    path: Cow<'a, str>,
}

/// How the URI of a proof differs from the one that was called. The two themselves stay unsaid: paths are personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// Not an absolute URI that could be compared.
    Unreadable,
    Scheme,
    Host,
    Port,
    Path,
}

impl Mismatch {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Unreadable => "`htu` is not an absolute http or https URI",
            Self::Scheme => "`htu` has another scheme",
            Self::Host => "`htu` has another host",
            Self::Port => "`htu` has another port",
            Self::Path => "`htu` has another path",
        }
    }
}

impl<'a> Target<'a> {
    /// The request target is path and query as the gateway got them.
    pub fn new(method: &'a str, origin: Origin, request_target: &'a str) -> Self {
        Self { method, origin, path: normal_path(request_target) }
    }

    /// As [`Target::new`], at the host that the client asked for.
    pub fn at_host(
        method: &'a str,
        secure: bool,
        host: &str,
        request_target: &'a str,
    ) -> Result<Self, InvalidOrigin> {
        Ok(Self::new(method, Origin::of_host(secure, host)?, request_target))
    }

    /// Methods are case-sensitive (RFC 9110 section 9.1).
    pub(super) fn has_method(&self, method: &str) -> bool {
        self.method == method
    }

    pub(super) fn compare(&self, htu: &str) -> Result<(), Mismatch> {
        if !htu.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Mismatch::Unreadable);
        }
        let (origin, rest) = Origin::split(htu).map_err(|_| Mismatch::Unreadable)?;
        let checks = [
            (origin.secure() == self.origin.secure(), Mismatch::Scheme),
            (origin.host() == self.origin.host(), Mismatch::Host),
            (origin.port() == self.origin.port(), Mismatch::Port),
            (normal_path(rest) == self.path, Mismatch::Path),
        ];
        checks.into_iter().find(|(same, _)| !same).map_or(Ok(()), |(_, mismatch)| Err(mismatch))
    }
}

/// The path without query and fragment: an empty one is `/`, escapes are in upper case, and what needs no escape has
/// none (RFC 3986 sections 6.2.2.1, 6.2.2.2, 6.2.3).
fn normal_path(request_target: &str) -> Cow<'_, str> {
    let path = request_target.split(['?', '#']).next().unwrap_or_default();
    if path.is_empty() {
        return Cow::Borrowed("/");
    }
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut normal = String::with_capacity(path.len());
    let mut parts = path.split('%');
    normal.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let escape = part.get(..2).and_then(|digits| Some((hex_byte(digits)?, part.get(2..)?)));
        match escape {
            Some((byte, rest)) if is_unreserved(byte) => {
                normal.push(char::from(byte));
                normal.push_str(rest);
            }
            Some((byte, rest)) => {
                normal.push_str(&format!("%{byte:02X}"));
                normal.push_str(rest);
            }
            // No escape: left as it is, and equal only to itself.
            None => {
                normal.push('%');
                normal.push_str(part);
            }
        }
    }
    Cow::Owned(normal)
}

fn hex_byte(digits: &str) -> Option<u8> {
    let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compare(called: &str, htu: &str) -> Result<(), Mismatch> {
        let (origin, rest) = Origin::split(called).unwrap();
        Target::new("GET", origin, rest).compare(htu)
    }

    #[test]
    fn spellings_of_one_uri_are_equal() {
        let called = "https://api.example.com/a%2fb/~c?x=1";
        for htu in [
            "https://api.example.com/a%2Fb/~c",
            "HTTPS://API.example.COM:443/a%2fb/%7ec",
            "https://api.example.com/a%2Fb/%7E%63?y=2#z",
        ] {
            assert_eq!(compare(called, htu), Ok(()), "{htu}");
        }
        assert_eq!(compare("https://a", "https://a/"), Ok(()));
        assert_eq!(compare("https://a/?x", "https://a?y"), Ok(()));
        assert_eq!(compare("http://a/", "http://a:80"), Ok(()));
    }

    #[test]
    fn other_uris_are_told_apart() {
        let called = "https://api.example.com/a/b";
        for (htu, mismatch) in [
            ("http://api.example.com/a/b", Mismatch::Scheme),
            ("https://api.example.com.evil/a/b", Mismatch::Host),
            ("https://api.example.com:8443/a/b", Mismatch::Port),
            ("https://api.example.com/a/b/", Mismatch::Path),
            ("https://api.example.com/A/b", Mismatch::Path),
            ("https://api.example.com/a%2Fb", Mismatch::Path),
            ("https://api.example.com/x/../a/b", Mismatch::Path),
            ("https://api.example.com//a/b", Mismatch::Path),
            ("https://api.example.com/a/b%", Mismatch::Path),
            ("https://u@api.example.com/a/b", Mismatch::Unreadable),
            ("//api.example.com/a/b", Mismatch::Unreadable),
            ("/a/b", Mismatch::Unreadable),
            (" https://api.example.com/a/b", Mismatch::Unreadable),
            ("https://api.example.com/a/b\u{e9}", Mismatch::Unreadable),
            ("", Mismatch::Unreadable),
        ] {
            assert_eq!(compare(called, htu), Err(mismatch), "{htu}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(path in "/[a-zA-Z0-9%/~._ü-]{0,30}") {
            let once = normal_path(&path).into_owned();
            // `%%41` is a stray percent sign before an escape; what is left must not be read as an escape of its own.
            prop_assume!(!path.contains("%%"));
            let stray = path.split('%').skip(1).any(|part| part.get(..2).and_then(hex_byte).is_none());
            prop_assume!(!stray);
            let twice = normal_path(&once).into_owned();
            prop_assert_eq!(&twice, &once);
            // An escaped percent sign stays escaped.
            prop_assert_eq!(path.matches("%25").count(), once.matches("%25").count());
        }
    }
}
