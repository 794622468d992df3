//! A token in JWS compact form (RFC 7515 section 7.1), taken apart and not yet believed.
//!
//! One text has one reading: three segments of strict base64url, a header and a payload in which nothing appears
//! twice. What the header asks us to fetch, or to understand and we do not, is refused here; whether the signature
//! is right is `jwt.rs`.

use serde_json::{Map, Value};

use super::json::{decode_base64url, parse_object};
use super::refusal::IdentityRefusal;

/// Header members that would have us take the key from the token itself, or from where it points (RFC 8725
/// section 3.10), and those that change what is signed (RFC 7797) or mark an encrypted token (RFC 7516).
/// `x5c` and the thumbprints are common in honest tokens; they are never read.
const REFUSED_MEMBERS: [&str; 7] = ["crit", "b64", "jwk", "jku", "x5u", "zip", "enc"];

/// A token taken apart.
#[derive(Debug)]
pub(super) struct Compact<'a> {
    pub header: Header,
    pub claims: Map<String, Value>,
    /// What the signature is over: the first two segments and the dot between them.
    pub signed: &'a str,
    /// The third segment; empty for an unsigned token.
    pub signature: &'a str,
}

/// The members of the header that we read.
#[derive(Debug)]
pub(super) struct Header {
    pub algorithm: String,
    pub kind: Option<String>,
    pub kid: Option<String>,
    /// The key that a proof brings along; a token that does is refused.
    pub jwk: Option<Value>,
    /// The first member that is none of these, for tokens that may have no others.
    pub other: Option<String>,
}

/// Whether the header may bring a key.
#[derive(Clone, Copy)]
enum Bring {
    Key,
    NoKey,
}

/// Whether a text means to be a JWT: three segments, of which the first is a JSON object. What does not may be an opaque
/// token, for its issuer to know.
pub(super) fn means_to_be_a_jwt(token: &str) -> bool {
    let mut segments = token.split('.');
    let header = segments.next().and_then(decode_base64url);
    segments.count() == 2 && header.is_some_and(|header| parse_object(&header).is_ok())
}

/// Whether a text can be a bearer token at all (`b64token`, RFC 6750 section 2.1).
pub(super) fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    !body.is_empty() && body.chars().all(fits)
}

impl<'a> Compact<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, IdentityRefusal> {
        Self::parse_with(token, Bring::NoKey)
    }

    /// A proof of possession: the one kind of JWT that brings its key along (RFC 9449 section 4.2).
    pub(super) fn parse_proof(proof: &'a str) -> Result<Self, IdentityRefusal> {
        Self::parse_with(proof, Bring::Key)
    }

    fn parse_with(token: &'a str, bring: Bring) -> Result<Self, IdentityRefusal> {
        let shape = || IdentityRefusal::malformed("not three segments of base64url");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(shape)?;
        let (header, payload) = signed.split_once('.').ok_or_else(shape)?;
        if header.is_empty() || payload.is_empty() {
            return Err(shape());
        }
        // A dot or a comma left in a segment is outside the alphabet, so a fourth segment ends here too.
        let header = decode_base64url(header).ok_or_else(shape)?;
        let payload = decode_base64url(payload).ok_or_else(shape)?;
        decode_base64url(signature).ok_or_else(shape)?;
        Ok(Self {
            header: Header::parse(&header, bring)?,
            claims: read("payload", &payload)?,
            signed,
            signature,
        })
    }
}

impl Header {
    fn parse(text: &[u8], bring: Bring) -> Result<Self, IdentityRefusal> {
        let mut members = read("header", text)?;
        let jwk = match bring {
            Bring::Key => members.shift_remove("jwk"),
            Bring::NoKey => None,
        };
        if let Some(name) = REFUSED_MEMBERS.into_iter().find(|name| members.contains_key(*name)) {
            return Err(IdentityRefusal::malformed(format!("the header member `{name}` is not accepted")));
        }
        let algorithm = member(&members, "alg")?
            .ok_or_else(|| IdentityRefusal::malformed("the header names no algorithm"))?;
        let other = members.keys().find(|name| !["alg", "typ", "kid"].contains(&name.as_str())).cloned();
        Ok(Self { algorithm, kind: member(&members, "typ")?, kid: member(&members, "kid")?, jwk, other })
    }
}

fn read(part: &str, text: &[u8]) -> Result<Map<String, Value>, IdentityRefusal> {
    parse_object(text).map_err(|fault| IdentityRefusal::malformed(format!("the {part} is refused: {fault}")))
}

fn member(header: &Map<String, Value>, name: &str) -> Result<Option<String>, IdentityRefusal> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(IdentityRefusal::malformed(format!("the header member `{name}` is not a string"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::json::encode_base64url;
    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.AAAA", encode_base64url(header), encode_base64url(payload))
    }

    #[test]
    fn three_segments_are_taken_apart() {
        let text = token(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","x5t":"ignored"}"#, r#"{"sub":"a"}"#);
        let compact = Compact::parse(&text).unwrap();
        assert_eq!(compact.header.algorithm, "EdDSA");
        assert_eq!(compact.claims.get("sub"), Some(&Value::from("a")));
        assert_eq!(format!("{}.{}", compact.signed, compact.signature), text);
    }

    #[test]
    fn other_shapes_are_refused() {
        let good = token(r#"{"alg":"EdDSA"}"#, "{}");
        let bad = [
            String::new(),
            "...".to_owned(),
            good.replacen('.', "", 1),
            format!("{good}."),
            format!(".{good}"),
            format!("{good},{good}"),
            format!("{good} "),
            format!("{good}="),
            good.replacen('.', "..", 1),
        ];
        for text in bad {
            assert!(Compact::parse(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_that_ask_for_more_than_we_do_are_refused() {
        for name in REFUSED_MEMBERS {
            let text = token(&format!(r#"{{"alg":"EdDSA","{name}":[]}}"#), "{}");
            let refusal = Compact::parse(&text).unwrap_err();
            assert!(refusal.detail.contains(name), "{refusal}");
        }
        for header in [r#"{}"#, r#"{"alg":1}"#, r#"{"alg":"EdDSA","kid":1}"#, r#"{"alg":"EdDSA","typ":null}"#]
        {
            assert!(Compact::parse(&token(header, "{}")).is_err(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "[A-Za-z0-9_.=-]{0,80}|.{0,60}") {
            let _ = Compact::parse(&text);
        }
    }
}
