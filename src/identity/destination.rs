//! Where a document is fetched from: a URL that the configuration names, or a document of the issuer at a place that
//! the configuration allows. Never one that a token names.
//!
//! The parser is the one of the client that connects, so that both see the same host.

use std::fmt;

use url::{Host, Url};

use super::fetch::may_connect;

/// The longest URL, in bytes.
const MAX_BYTES: usize = 2_048;

/// A URL that may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination(Url);

/// Whether a destination may be reached without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plaintext {
    /// On this machine only.
    Loopback,
    /// The operator allowed it for this issuer.
    Allowed,
}

impl Plaintext {
    pub(super) const fn allowed(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Loopback }
    }
}

impl Destination {
    /// Checks a URL; the error says what is wrong with it in words that follow its name.
    pub(super) fn parse(text: &str, plaintext: Plaintext) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err("must begin with `https://`".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must hold no user name or password".to_owned());
        }
        if url.fragment().is_some() {
            return Err("must hold no fragment (`#`)".to_owned());
        }
        let host = url.host().ok_or("names no host")?;
        if !may_reach(&host) {
            return Err("names an address that no issuer may have (link-local or none)".to_owned());
        }
        if url.scheme() == "http" && plaintext == Plaintext::Loopback && !is_loopback(&host) {
            return Err(
                "must begin with `https://`: over plain HTTP anybody on the way can put in keys of his own; \
                        `allow_http = true` takes that risk"
                    .to_owned(),
            );
        }
        Ok(Self(url))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The same server at another path. `prefix` goes before the path of this URL and `suffix` behind it.
    pub(super) fn well_known(&self, prefix: &str, suffix: &str) -> Result<Self, String> {
        if self.0.query().is_some() {
            return Err("must hold no query (`?`) to be discovered".to_owned());
        }
        let mut url = self.0.clone();
        let path = format!("{prefix}{}{suffix}", self.0.path().trim_end_matches('/'));
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn may_reach(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => !name.is_empty(),
        Host::Ipv4(address) => may_connect((*address).into()),
        Host::Ipv6(address) => may_connect((*address).into()),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        Destination::parse(text, Plaintext::Loopback).map(|found| found.to_string())
    }

    #[test]
    fn https_goes_anywhere_and_http_to_this_machine() {
        for good in [
            "https://id.example.com/jwks",
            "https://10.0.0.1:8443/jwks?v=1",
            "http://127.0.0.1:9/x",
            "http://localhost/x",
            "http://[::1]:9/x",
        ] {
            assert_eq!(parse(good).unwrap(), good);
        }
        let open = "http://id.example.com/jwks";
        assert!(parse(open).unwrap_err().contains("allow_http"));
        assert!(Destination::parse(open, Plaintext::Allowed).is_ok());
    }

    #[test]
    fn what_is_no_place_for_keys_is_refused() {
        let long = format!("https://a/{}", "x".repeat(MAX_BYTES));
        for bad in [
            "",
            "/jwks",
            "file:///etc/passwd",
            "ftp://a/b",
            "data:application/json,{}",
            "https://user@a/",
            "https://user:pass@a/",
            "https://a/#f",
            "https://169.254.169.254/latest",
            "https://2852039166/latest",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            &long,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn well_known_places_are_made_as_the_standards_say() {
        let issuer = Destination::parse("https://id.example.com/realms/corp/", Plaintext::Loopback).unwrap();
        let made = |prefix, suffix| issuer.well_known(prefix, suffix).unwrap().to_string();
        assert_eq!(
            made("", "/.well-known/openid-configuration"),
            "https://id.example.com/realms/corp/.well-known/openid-configuration"
        );
        assert_eq!(
            made("/.well-known/oauth-authorization-server", ""),
            "https://id.example.com/.well-known/oauth-authorization-server/realms/corp"
        );
        let bare = Destination::parse("https://id.example.com", Plaintext::Loopback).unwrap();
        let made = bare.well_known("/.well-known/oauth-authorization-server", "").unwrap();
        assert_eq!(made.to_string(), "https://id.example.com/.well-known/oauth-authorization-server");
        let query = Destination::parse("https://id.example.com/?a", Plaintext::Loopback).unwrap();
        assert!(query.well_known("", "/x").is_err());
    }
}
