//! The certificates that clients of Deodar's own APIs are known by: which names there are, and what a connection showed.
//!
//! Names fit whole or not at all. Patterns would make one certificate several clients, and who may get a certificate for
//! a name below another is not for us to know.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;

/// What a certificate is known by. Names count only under an authority that the listener trusts for clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CertificateName {
    /// A URI among its subject alternative names, byte for byte: a SPIFFE id, for example.
    Uri(String),
    /// A DNS name among its subject alternative names, in lower case, without wildcards.
    Dns(String),
    /// SHA-256 of the whole certificate (DER).
    Sha256([u8; 32]),
}

const LONGEST_URI: usize = 2_048;
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;

impl CertificateName {
    /// A URI as a certificate holds it; `None` when nobody can be known by it.
    pub fn uri(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        let is_whole =
            !rest.is_empty() && text.len() <= LONGEST_URI && text.chars().all(|c| c.is_ascii_graphic());
        (is_scheme && is_whole).then(|| Self::Uri(text.to_owned()))
    }

    /// A DNS name in whichever case; `None` when nobody can be known by it, a wildcard for example.
    pub fn dns(text: &str) -> Option<Self> {
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= LONGEST_LABEL
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        let fits = text.len() <= LONGEST_HOST && text.split('.').all(is_label);
        fits.then(|| Self::Dns(text.to_ascii_lowercase()))
    }

    /// Hexadecimal digits, in pairs with colons between them if need be, as tools print them.
    fn sha256(text: &str) -> Option<Self> {
        let digits = text.replace(':', "");
        let bytes = hex::decode(digits).ok()?.try_into().ok()?;
        Some(Self::Sha256(bytes))
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Sha256(digest) => write!(f, "sha256:{}", hex::encode(digest)),
        }
    }
}

impl FromStr for CertificateName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = match text.split_once(':') {
            Some(("uri", uri)) => Self::uri(uri),
            Some(("dns", name)) => Self::dns(name),
            Some(("sha256", digest)) => Self::sha256(digest),
            _ => None,
        };
        read.ok_or_else(|| {
            format!(
                "`{text}` names no certificate; write uri:spiffe://example.org/gateway, dns:gateway.example.com \
                 (whole names, no wildcards) or sha256: and the 64 digits of its fingerprint"
            )
        })
    }
}

impl TryFrom<String> for CertificateName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CertificateName> for String {
    fn from(name: CertificateName) -> Self {
        name.to_string()
    }
}

/// The certificate of a connection, which was verified in its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerCertificate {
    /// All that it can be known by.
    pub names: Vec<CertificateName>,
    /// A connection may outlive its certificate; who is known by it does not.
    pub expires_at: Timestamp,
}

impl CallerCertificate {
    /// A certificate is valid up to its last second, that one included.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now.seconds() > self.expires_at.seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_whole_and_written_as_they_were_read() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for text in
            ["uri:spiffe://example.org/ns/a/sa/b", "uri:urn:example:gateway", "dns:edge.example.com", &digest]
        {
            assert_eq!(text.parse::<CertificateName>().unwrap().to_string(), text);
        }
        assert_eq!("dns:Edge.Example.COM".parse(), "dns:edge.example.com".parse::<CertificateName>());
        let coloned = format!("sha256:{}", ["0A"; 32].join(":"));
        assert_eq!(coloned.parse(), digest.parse::<CertificateName>());
    }

    #[test]
    fn what_could_be_several_certificates_or_none_is_refused() {
        let long = format!("uri:a:{}", "b".repeat(LONGEST_URI));
        for text in [
            "",
            "edge.example.com",
            "cn:edge",
            "dns:",
            "dns:*.example.com",
            "dns:edge..com",
            "dns:edge.",
            "dns:a b",
            "uri:",
            "uri:edge",
            "uri:a:",
            "uri:1a:b",
            "uri:spiffe://a/b c",
            "uri:spiffe://a/\u{e9}",
            &long,
            "sha256:",
            "sha256:0a",
            "sha256:zz",
        ] {
            let error = text.parse::<CertificateName>().unwrap_err();
            assert!(error.contains("names no certificate"), "{text}");
        }
    }

    #[test]
    fn a_certificate_is_good_through_its_last_second() {
        let certificate = CallerCertificate { names: Vec::new(), expires_at: Timestamp::from_seconds(9) };
        assert!(!certificate.has_expired(Timestamp::from_micros(9_999_999)));
        assert!(certificate.has_expired(Timestamp::from_seconds(10)));
    }
}
