//! Client certificates: good ones, and any part of them spoilt.

use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use deodar::api::pb::decision as pb;
use pb::client_certificate::Form;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::proof::seconds_from_now;

/// Whoever signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in DER.
    pub der: Vec<u8>,
}

impl Authority {
    /// One that signed itself.
    pub fn root(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    /// One below this one, with its certificate changed.
    pub fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (authority(name), KeyPair::generate().unwrap());
        change(&mut params);
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, key), der }
    }

    /// Signs a certificate for a new key.
    pub fn sign(&self, params: &CertificateParams) -> Vec<u8> {
        self.issue(params).0
    }

    /// Signs a certificate for a new key; both of them.
    pub fn issue(&self, params: &CertificateParams) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().der().to_vec(), key)
    }
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, -3_600, 86_400);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Sets when a certificate is good, in seconds from now.
pub fn valid(params: &mut CertificateParams, from: i64, until: i64) {
    let at = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap());
    (params.not_before, params.not_after) = (at(seconds_from_now(from)), at(seconds_from_now(until)));
}

/// What a client's own certificate says: good for an hour, for TLS, of these URIs.
pub fn client(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("client");
    params.is_ca = IsCa::ExplicitNoCa;
    params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    valid(&mut params, -60, 3_600);
    params
}

/// A certificate that its holder signed, in DER.
pub fn self_signed(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

/// The `cnf` of a token that is bound to a certificate.
pub fn confirmation(der: &[u8]) -> Value {
    json!({ "x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(der)) })
}

pub fn pem(der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n")
}

pub fn url_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The value of `Client-Cert` (RFC 9440).
pub fn byte_sequence(der: &[u8]) -> String {
    format!(":{}:", BASE64_STANDARD.encode(der))
}

/// What Envoy writes of a certificate.
pub fn xfcc(der: &[u8]) -> String {
    let hash = hex::encode(Sha256::digest(der));
    let cert = url_encoded(&pem(der));
    format!("By=spiffe://mesh/envoy;Hash={hash};Cert=\"{cert}\";Subject=\"CN=client,O=\\\"a,b;c\\\"\"")
}

/// A credential with this certificate beside it.
pub fn with(credential: pb::Credential, form: Form) -> pb::Credential {
    let client_certificate = pb::ClientCertificate { form: Some(form), ..pb::ClientCertificate::default() };
    pb::Credential { client_certificate: Some(client_certificate), ..credential }
}

/// A credential with this certificate beside it, and those above it.
pub fn with_chain(credential: pb::Credential, leaf: &[u8], above: &[&[u8]]) -> pb::Credential {
    let client_certificate = pb::ClientCertificate {
        form: Some(Form::Der(leaf.to_vec())),
        chain: above.iter().map(|der| der.to_vec()).collect(),
        ..pb::ClientCertificate::default()
    };
    pb::Credential { client_certificate: Some(client_certificate), ..credential }
}

/// A certificate as the only credential.
pub fn alone(leaf: &[u8], above: &[&[u8]]) -> pb::Credential {
    with_chain(pb::Credential::default(), leaf, above)
}
