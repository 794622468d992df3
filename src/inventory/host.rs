//! The host a call was sent to, in one spelling.
//!
//! Hosts compare without regard to case, and ports and a trailing dot say nothing about which API is meant, so
//! they go before anything is matched. Which hosts are known is left to `router`.

use std::net::Ipv6Addr;

/// Reads a `Host` or `:authority` value: lower case, without port and trailing dot; an IPv6 literal keeps its
/// brackets and is written as RFC 5952 says. An empty value stays empty. The error says what is wrong.
pub(super) fn parse_host(raw: &str) -> Result<String, &'static str> {
    if raw.is_empty() {
        return Ok(String::new());
    }
    if let Some(rest) = raw.strip_prefix('[') {
        let (literal, port) = rest.split_once(']').ok_or("it opens a bracket and does not close it")?;
        let address: Ipv6Addr = literal.parse().map_err(|_| "it has brackets but no IPv6 address in them")?;
        match port.strip_prefix(':') {
            Some(port) => check_port(port)?,
            None if port.is_empty() => {}
            None => return Err("it goes on after its closing bracket"),
        }
        return Ok(format!("[{address}]"));
    }
    let name = match raw.split_once(':') {
        Some((name, port)) => {
            check_port(port)?;
            name
        }
        None => raw,
    };
    check_name(name.strip_suffix('.').unwrap_or(name))
}

fn check_name(name: &str) -> Result<String, &'static str> {
    if name.len() > 253 {
        return Err("it is longer than 253 characters");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    for label in name.split('.') {
        if label.is_empty() {
            return Err("it has an empty label");
        }
        if !label.bytes().all(plain) {
            return Err("it has a character that no host name has");
        }
    }
    Ok(name.to_ascii_lowercase())
}

fn check_port(port: &str) -> Result<(), &'static str> {
    let digits = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Ok(()) } else { Err("it has a port that is not a number") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_port_and_trailing_dot_do_not_matter() {
        for raw in [
            "api.example.com",
            "API.Example.COM",
            "api.example.com:443",
            "api.example.com.",
            "Api.example.com.:8443",
        ] {
            assert_eq!(parse_host(raw).unwrap(), "api.example.com", "{raw}");
        }
        assert_eq!(parse_host("[2001:DB8:0::1]:8443").unwrap(), "[2001:db8::1]");
        assert_eq!(parse_host("192.0.2.7:80").unwrap(), "192.0.2.7");
        assert_eq!(parse_host("").unwrap(), "");
    }

    #[test]
    fn hosts_that_could_be_misread_are_refused() {
        for raw in [
            ".",
            "..",
            "a..b",
            "user@a",
            "a/b",
            "a b",
            "a,b",
            "a:b",
            "a:1:2",
            "a:123456",
            "[::1",
            "[::g]",
            "[::1]x",
            "a%2eb",
            "ä.example",
            "a\u{0}",
            "::1",
        ] {
            assert!(parse_host(raw).is_err(), "{raw:?}");
        }
        assert!(parse_host(&"a.".repeat(200)).is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_host_stays_as_it_is(raw in "[a-zA-Z0-9.:\\[\\]_-]{0,20}") {
            if let Ok(host) = parse_host(&raw) {
                prop_assert_eq!(parse_host(&host), Ok(host.clone()));
            }
        }
    }
}
