//! A certificate of a TLS handshake, read: what it is known by, and when it is good.
//!
//! Whether an authority vouches for it was decided in the handshake; nothing of that is looked at here.

use std::net::IpAddr;

use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::model::{CallerCertificate, CertificateName, Timestamp};

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCertificate {
    /// Of its DER bytes.
    pub sha256: [u8; 32],
    /// Its subject alternative names as they are written: hosts, addresses, URIs.
    pub subjects: Vec<String>,
    /// All that a client can be known by: whole names, and its digest.
    pub names: Vec<CertificateName>,
    pub valid_from: Timestamp,
    /// The last second in which it is good.
    pub expires_at: Timestamp,
}

impl NamedCertificate {
    /// Reads a certificate (DER); `None` when it is none.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let alternatives = certificate.subject_alternative_name().ok()?;
        let alternatives = alternatives.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let sha256: [u8; 32] = Sha256::digest(der).into();
        let moment = |time: x509_parser::time::ASN1Time| Timestamp::from_seconds(time.timestamp());
        let digest = CertificateName::Sha256(sha256);
        Some(Self {
            sha256,
            subjects: alternatives.iter().filter_map(subject).collect(),
            names: std::iter::once(digest).chain(alternatives.iter().filter_map(name)).collect(),
            valid_from: moment(certificate.validity().not_before),
            expires_at: moment(certificate.validity().not_after),
        })
    }

    /// The certificate as that of a caller.
    pub fn into_caller(self) -> CallerCertificate {
        CallerCertificate { names: self.names, expires_at: self.expires_at }
    }
}

fn name(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::URI(uri) => CertificateName::uri(uri),
        GeneralName::DNSName(host) => CertificateName::dns(host),
        _ => None,
    }
}

fn subject(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_are_those_of_the_certificate_without_wildcards_and_common_name() {
        let hosts = ["Edge.example.com", "*.example.com", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(hosts).unwrap();
        params.subject_alt_names.push(SanType::URI("spiffe://example.org/edge".try_into().unwrap()));
        params.distinguished_name.push(DnType::CommonName, "other.example.com");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = NamedCertificate::read(certificate.der()).unwrap();
        let names: Vec<String> = read.names.iter().map(ToString::to_string).collect();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(certificate.der())));
        assert_eq!(names, [digest.as_str(), "dns:edge.example.com", "uri:spiffe://example.org/edge"]);
        let subjects = ["Edge.example.com", "*.example.com", "127.0.0.1", "::1", "spiffe://example.org/edge"];
        assert_eq!(read.subjects, subjects);
        assert_eq!(NamedCertificate::read(&[0x30, 0]), None);
    }
}
