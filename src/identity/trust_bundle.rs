//! A trust domain's bundle: the authorities that sign its certificates, and the keys that sign its tokens.
//!
//! Read from PEM, which holds certificates only, or from a SPIFFE bundle, a JWK set in which `use` says what each key is for.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor};
use serde_json::{Map, Value};
use webpki::anchor_from_trusted_cert;

use super::certificate;
use super::json::{JsonFault, parse_object};
use super::jwks::{JwksError, KeySet};
use super::spiffe_id::SpiffeId;
use super::svid;

/// Why a bundle cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    #[error("a bundle is PEM with certificates, or one JSON object")]
    Json(#[source] JsonFault),
    #[error("a SPIFFE bundle needs a member `keys` with a list of keys")]
    NoKeyList,
    #[error("key {0} of the bundle: {1}")]
    BadKey(usize, &'static str),
    #[error("certificate {0} of the bundle: {1}")]
    BadCertificate(usize, &'static str),
    #[error("the bundle holds neither an authority nor a key for tokens")]
    Empty,
    #[error("the keys for tokens in the bundle cannot be used")]
    TokenKeys(#[source] JwksError),
}

/// What a trust domain is believed by.
#[derive(Debug)]
pub(super) struct TrustBundle {
    pub anchors: Vec<TrustAnchor<'static>>,
    pub token_keys: KeySet,
}

impl TrustBundle {
    /// Reads either form, for the trust domain of this name.
    pub(super) fn parse(text: &str, trust_domain: &str) -> Result<Self, BundleError> {
        let (certificates, token_keys) = match text.trim_ascii_start().starts_with('{') {
            true => from_json(text)?,
            false => (from_pem(text)?, KeySet::none()),
        };
        if certificates.is_empty() && token_keys.is_empty() {
            return Err(BundleError::Empty);
        }
        let anchors = certificates.iter().enumerate().map(|(index, der)| {
            anchor(der, trust_domain).map_err(|problem| BundleError::BadCertificate(index + 1, problem))
        });
        Ok(Self { anchors: anchors.collect::<Result<_, _>>()?, token_keys })
    }
}

fn from_pem(text: &str) -> Result<Vec<Vec<u8>>, BundleError> {
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes()).enumerate().map(|(index, der)| {
        let broken = |_| BundleError::BadCertificate(index + 1, "it is not PEM");
        der.map(|der| der.to_vec()).map_err(broken)
    });
    certificates.collect()
}

/// Keys for other uses and of other kinds are passed over, as the standard says.
fn from_json(text: &str) -> Result<(Vec<Vec<u8>>, KeySet), BundleError> {
    let bundle = parse_object(text.as_bytes()).map_err(BundleError::Json)?;
    let keys = bundle.get("keys").and_then(Value::as_array).ok_or(BundleError::NoKeyList)?;
    let (mut certificates, mut token_keys) = (Vec::new(), Vec::new());
    for (index, key) in keys.iter().enumerate() {
        let bad = |problem| BundleError::BadKey(index + 1, problem);
        let members = key.as_object().ok_or_else(|| bad("a key must be a JSON object"))?;
        match members.get("use").and_then(Value::as_str) {
            Some("x509-svid") => certificates.push(authority(members).map_err(bad)?),
            Some("jwt-svid") => token_keys.push(token_key(members).map_err(bad)?),
            _ => {}
        }
    }
    if token_keys.is_empty() {
        return Ok((certificates, KeySet::none()));
    }
    let set = Map::from_iter([("keys".to_owned(), Value::Array(token_keys))]);
    Ok((certificates, KeySet::from_members(&set).map_err(BundleError::TokenKeys)?))
}

/// `x5c` holds the one certificate of the authority, in plain base64 (RFC 7517 section 4.7).
fn authority(key: &Map<String, Value>) -> Result<Vec<u8>, &'static str> {
    let wrong = "`x5c` must hold exactly one certificate";
    let Some([Value::String(only)]) = key.get("x5c").and_then(Value::as_array).map(Vec::as_slice) else {
        return Err(wrong);
    };
    BASE64_STANDARD.decode(only).map_err(|_| wrong)
}

/// The same key in the words of an ordinary set.
fn token_key(key: &Map<String, Value>) -> Result<Value, &'static str> {
    if key.get("kid").and_then(Value::as_str).is_none_or(str::is_empty) {
        return Err("a key for tokens needs a `kid`");
    }
    let mut key = key.clone();
    key.insert("use".to_owned(), Value::from("sig"));
    Ok(Value::Object(key))
}

/// An authority may sign certificates, and is of this trust domain or of none.
fn anchor(der: &[u8], trust_domain: &str) -> Result<TrustAnchor<'static>, &'static str> {
    let certificate = certificate::parse(der).map_err(|_| "it is not one certificate in DER")?;
    if !certificate.is_ca() {
        return Err("it is not one of an authority (`cA` is not set)");
    }
    if !svid::signs_certificates(&certificate) {
        return Err("its key usage does not let it sign certificates");
    }
    for uri in svid::uris(&certificate).map_err(|_| "its names cannot be read")? {
        let own = SpiffeId::parse(uri).is_ok_and(|id| id.trust_domain == trust_domain && id.path.is_empty());
        if SpiffeId::is_meant(uri) && !own {
            return Err("it is that of another trust domain");
        }
    }
    let der = CertificateDer::from(der);
    let anchor = anchor_from_trusted_cert(&der).map_err(|_| "it cannot be trusted as it is")?;
    Ok(anchor.to_owned())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};
    use serde_json::json;

    use super::super::sign::SigningKey;
    use super::*;
    use crate::identity::Algorithm;

    const DOMAIN: &str = "prod.example.com";

    fn authority(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn named(uri: &str) -> Vec<u8> {
        authority(|params| params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())])
    }

    fn pem(der: &[u8]) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", BASE64_STANDARD.encode(der))
    }

    fn authority_key(certificates: &[&[u8]]) -> Value {
        let x5c: Vec<String> = certificates.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
        json!({ "kty": "EC", "use": "x509-svid", "x5c": x5c })
    }

    fn token_key() -> Value {
        let mut key = SigningKey::generate(Algorithm::Es256).unwrap().public_jwk();
        key["use"] = json!("jwt-svid");
        key
    }

    fn parse(text: &str) -> Result<(usize, usize), String> {
        let bundle = TrustBundle::parse(text, DOMAIN).map_err(|error| {
            let cause = error.source().map(ToString::to_string).unwrap_or_default();
            format!("{error}: {cause}")
        })?;
        Ok((bundle.anchors.len(), bundle.token_keys.len()))
    }

    fn keys(keys: &[Value]) -> Result<(usize, usize), String> {
        parse(&json!({ "keys": keys, "spiffe_sequence": 1 }).to_string())
    }

    #[test]
    fn both_forms_are_read() {
        let (one, two) = (authority(|_| ()), named("spiffe://prod.example.com"));
        assert_eq!(parse(&(pem(&one) + &pem(&two))), Ok((2, 0)));
        let other = json!({ "kty": "AKP", "use": "later" });
        assert_eq!(keys(&[authority_key(&[&one]), token_key(), token_key(), other, json!({})]), Ok((1, 2)));
        assert_eq!(keys(&[token_key()]), Ok((0, 1)));
    }

    #[test]
    fn what_cannot_be_trusted_is_refused_and_named() {
        let good = authority(|_| ());
        let leaf = authority(|params| params.is_ca = IsCa::ExplicitNoCa);
        let unfit = authority(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
        let foreign = named("spiffe://other.example.com");
        let workload = named("spiffe://prod.example.com/web");
        let without_kid = {
            let mut key = token_key();
            key.as_object_mut().unwrap().shift_remove("kid");
            key
        };
        let twice = token_key();
        let private = {
            let mut key = token_key();
            key["d"] = json!("AAAA");
            key
        };
        for (said, word) in [
            (parse(""), "neither"),
            (parse("subject=prod"), "neither"),
            (parse("{"), "one JSON object"),
            (parse("{}"), "`keys`"),
            (parse("{\"keys\":[],\"keys\":[]}"), "twice"),
            (keys(&[]), "neither"),
            (keys(&[json!(7)]), "key 1"),
            (keys(&[authority_key(&[])]), "exactly one"),
            (keys(&[authority_key(&[&good, &good])]), "exactly one"),
            (keys(&[authority_key(&[b"x"])]), "certificate 1"),
            (keys(&[token_key(), without_kid]), "key 2"),
            (keys(&[twice.clone(), twice]), "cannot be used"),
            (keys(&[private]), "cannot be used"),
            (parse(&(pem(&good) + &pem(&leaf))), "certificate 2"),
            (parse(&pem(&unfit)), "key usage"),
            (parse(&pem(&foreign)), "another trust domain"),
            (parse(&pem(&workload)), "another trust domain"),
            (parse(&pem(&[good.as_slice(), &[0]].concat())), "one certificate"),
            (parse(&pem(&good).replace("-----END", "-----ENDE")), "PEM"),
        ] {
            let problem = said.expect_err(word);
            assert!(problem.contains(word), "{word}: {problem}");
        }
    }
}
