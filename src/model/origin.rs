//! Scheme, host and port of an HTTP URI in one spelling (RFC 3986 section 6.2, RFC 6454).
//!
//! Two spellings of one origin are equal here: case does not matter, a default port is no port, an IPv6 address has one
//! form. What could be read in two ways (user names, percent-encoding in the host) is no origin at all.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an API is reached from outside, for example `https://api.example.com`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin {
    secure: bool,
    /// Lower case, without trailing dot; an IPv6 address keeps its brackets.
    host: String,
    port: u16,
}

/// A text that is no origin. Holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an origin: {0}")]
pub struct InvalidOrigin(&'static str);

impl Origin {
    /// From a `Host` or `:authority` value.
    pub fn of_host(secure: bool, authority: &str) -> Result<Self, InvalidOrigin> {
        let (host, port) = split_port(authority)?;
        let default = if secure { 443 } else { 80 };
        Ok(Self { secure, host: normal_host(host)?, port: port.unwrap_or(default) })
    }

    /// An absolute `http` or `https` URI -> its origin, and what follows it.
    pub fn split(uri: &str) -> Result<(Self, &str), InvalidOrigin> {
        let (scheme, rest) = uri.split_once("://").ok_or(InvalidOrigin("it is not an absolute URI"))?;
        let secure = if scheme.eq_ignore_ascii_case("https") {
            true
        } else if scheme.eq_ignore_ascii_case("http") {
            false
        } else {
            return Err(InvalidOrigin("the scheme is neither https nor http"));
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        Ok((Self::of_host(secure, authority)?, rest))
    }

    pub const fn secure(&self) -> bool {
        self.secure
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub const fn port(&self) -> u16 {
        self.port
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), InvalidOrigin> {
    let end_of_host = match authority.rfind(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(end_of_host);
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        None => Err(InvalidOrigin("it goes on after the host's bracket")),
        // RFC 3986 section 6.2.3: an empty port is the default one.
        Some("") => Ok((host, None)),
        Some(digits) => {
            let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok());
            number.flatten().map(|port| (host, Some(port))).ok_or(InvalidOrigin("the port is not a number"))
        }
    }
}

fn normal_host(host: &str) -> Result<String, InvalidOrigin> {
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').ok_or(InvalidOrigin("a bracket is not closed"))?;
        let address: Ipv6Addr =
            literal.parse().map_err(|_| InvalidOrigin("the brackets hold no IPv6 address"))?;
        return Ok(format!("[{address}]"));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| !label.is_empty() && label.bytes().all(plain);
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(InvalidOrigin("the host is not a name or an address"));
    }
    Ok(name.to_ascii_lowercase())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, default) = if self.secure { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port == default { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        match Self::split(text)? {
            (origin, "" | "/") => Ok(origin),
            _ => Err(InvalidOrigin("it has a path; write scheme and host only")),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    fn try_from(text: String) -> Result<Self, InvalidOrigin> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(origin: Origin) -> Self {
        origin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin(text: &str) -> Result<Origin, InvalidOrigin> {
        text.parse()
    }

    #[test]
    fn spellings_of_one_origin_are_equal() {
        let plain = origin("https://api.example.com").unwrap();
        for same in ["HTTPS://API.example.COM/", "https://api.example.com:443", "https://api.example.com.:"] {
            assert_eq!(origin(same).unwrap(), plain, "{same}");
        }
        for other in ["http://api.example.com", "https://api.example.com:8443", "https://example.com"] {
            assert_ne!(origin(other).unwrap(), plain, "{other}");
        }
        assert_eq!(Origin::of_host(true, "Api.Example.com:443").unwrap(), plain);
        assert_eq!(origin("http://[2001:DB8::0:1]:8080").unwrap().to_string(), "http://[2001:db8::1]:8080");
    }

    #[test]
    fn what_could_be_misread_is_no_origin() {
        for bad in [
            "",
            "api.example.com",
            "ftp://a",
            "https://",
            "https://u@a",
            "https://a:b@c",
            "https://a%2eb",
            "https://a b",
            "https://a:65536",
            "https://a:+1",
            "https://[::1",
            "https://[::1]x",
            "https://a..b",
            "https://a/b",
            "https://a?b",
            "https://ä.example",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn an_origin_that_is_written_is_read_again(host in "[A-Za-z0-9.:\\[\\]_-]{0,20}", secure: bool) {
            if let Ok(read) = Origin::of_host(secure, &host) {
                prop_assert_eq!(origin(&read.to_string()), Ok(read));
            }
        }
    }
}
