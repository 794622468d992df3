//! The document in which an issuer says where its keys are (OpenID Connect Discovery 1.0 section 3, RFC 8414 section 2).
//!
//! It is believed about the issuer that it was fetched for and no other, and only as far as the configuration allows: the
//! keys must lie on the issuer's own server or at an origin that is named there.

use serde_json::{Map, Value};

use super::destination::{Destination, Plaintext};
use super::json::parse_object;
use super::key_config::Discovery;
use super::refusal::excerpt;

/// Where the document is, and what it may say.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    /// The exact `iss`.
    issuer: String,
    pub place: Destination,
    /// The issuer's own origin, and those that the configuration names.
    origins: Vec<String>,
    plaintext: Plaintext,
}

impl Metadata {
    /// The error says what is wrong in words that follow the name of the setting.
    pub(super) fn of(
        issuer: &str,
        kind: Discovery,
        more_origins: &[String],
        plaintext: Plaintext,
    ) -> Result<Self, String> {
        let wrong = |problem| format!("`issuer` `{issuer}` {problem}, and `discovery` begins there");
        let base = Destination::parse(issuer, plaintext).map_err(wrong)?;
        let place = match kind {
            Discovery::Openid => base.well_known("", "/.well-known/openid-configuration"),
            Discovery::Oauth => base.well_known("/.well-known/oauth-authorization-server", ""),
        };
        let mut origins = vec![base.origin()];
        for text in more_origins {
            let wrong = |problem| format!("`key_fetch.jwks_origins` names `{text}`, which {problem}");
            origins.push(Destination::parse(text, plaintext).map_err(wrong)?.origin());
        }
        Ok(Self { issuer: issuer.to_owned(), place: place.map_err(wrong)?, origins, plaintext })
    }

    /// The place of the keys.
    pub(super) fn jwks_uri(&self, document: &[u8]) -> Result<Destination, String> {
        let members = parse_object(document).map_err(|fault| format!("its document is refused: {fault}"))?;
        let issuer = text(&members, "issuer")?;
        if issuer != self.issuer {
            return Err(format!("its document is about another issuer, {}", excerpt(issuer)));
        }
        let uri = text(&members, "jwks_uri")?;
        let found = Destination::parse(uri, self.plaintext)
            .map_err(|problem| format!("its `jwks_uri`, {}, {problem}", excerpt(uri)))?;
        let origin = found.origin();
        if self.origins.contains(&origin) {
            return Ok(found);
        }
        Err(format!(
            "its `jwks_uri` is at another origin, {}; allow it in `key_fetch.jwks_origins`",
            excerpt(&origin)
        ))
    }
}

fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    let text = members.get(name).and_then(Value::as_str);
    text.ok_or_else(|| format!("its document has no `{name}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://id.example.com/realms/corp";

    fn metadata(kind: Discovery) -> Metadata {
        let origins = ["https://keys.example.com".to_owned()];
        Metadata::of(ISSUER, kind, &origins, Plaintext::Loopback).unwrap()
    }

    fn read(issuer: &str, jwks_uri: &str) -> Result<String, String> {
        let document = json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string();
        metadata(Discovery::Openid).jwks_uri(document.as_bytes()).map(|found| found.to_string())
    }

    #[test]
    fn the_document_lies_where_the_standards_say() {
        assert!(
            metadata(Discovery::Openid)
                .place
                .as_str()
                .ends_with("/realms/corp/.well-known/openid-configuration")
        );
        assert!(
            metadata(Discovery::Oauth)
                .place
                .as_str()
                .ends_with("/.well-known/oauth-authorization-server/realms/corp")
        );
    }

    #[test]
    fn keys_lie_with_the_issuer_or_where_the_configuration_allows() {
        for good in
            ["https://id.example.com/keys", "https://id.example.com:443/k?v=1", "https://keys.example.com/x"]
        {
            assert!(read(ISSUER, good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("https://evil.example.com/keys", "another origin"),
            ("https://id.example.com:444/keys", "another origin"),
            ("https://id.example.com.evil.example/keys", "another origin"),
            ("http://id.example.com/keys", "https"),
            ("http://127.0.0.1/keys", "another origin"),
            ("file:///etc/passwd", "https"),
            ("/keys", "no URL"),
        ] {
            let error = read(ISSUER, bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn a_document_about_another_issuer_is_not_believed() {
        for other in ["https://id.example.com/realms/other", "https://id.example.com/realms/corp/", ""] {
            assert!(
                read(other, "https://id.example.com/keys").unwrap_err().contains("another issuer"),
                "{other}"
            );
        }
        let metadata = metadata(Discovery::Openid);
        for bad in ["", "[]", "{}", r#"{"issuer":7}"#, r#"{"issuer":"a","issuer":"b"}"#] {
            assert!(metadata.jwks_uri(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_issuer_that_is_no_url_cannot_be_discovered() {
        let of =
            |issuer: &str| Metadata::of(issuer, Discovery::Openid, &[], Plaintext::Loopback).unwrap_err();
        assert!(of("urn:example:issuer").contains("`issuer`"));
        assert!(of("http://id.example.com").contains("allow_http"));
        let origins = ["ftp://x".to_owned()];
        let error = Metadata::of(ISSUER, Discovery::Oauth, &origins, Plaintext::Loopback).unwrap_err();
        assert!(error.contains("ftp://x"), "{error}");
    }
}
