//! The client's certificate: what is read of it, and whether it is the one that a token is bound to (RFC 8705).
//!
//! A token names the certificate by its digest, so nothing but the bytes decides which one it is; RFC 8705 allows clients
//! that sign their own. What a certificate proves by itself is left to `svid`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::refusal::IdentityRefusal;
use crate::model::{ClientCertificate, CredentialFault, Timestamp};

/// Bounds of certificates that clients show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateConfig {
    /// The longest certificate that is read at all, with those that lead to its authority, in bytes.
    pub max_bytes: usize,
    /// How many certificates may lead from the client's own to its authority; at most 6.
    pub max_intermediates: usize,
}

impl Default for CertificateConfig {
    fn default() -> Self {
        Self { max_bytes: 32 * 1024, max_intermediates: 4 }
    }
}

/// More are never followed, whatever the setting: it would be promised and not kept.
const MOST_INTERMEDIATES: usize = 6;

impl CertificateConfig {
    /// What cannot work, in a sentence.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.max_bytes == 0 {
            return Some("`certificates.max_bytes` must leave room for a certificate");
        }
        let most = "`certificates.max_intermediates` may be 6 at most";
        (self.max_intermediates > MOST_INTERMEDIATES).then_some(most)
    }

    /// Refuses what cannot be one certificate, before anything in it is read.
    pub(super) fn check(&self, certificate: &ClientCertificate) -> Result<(), IdentityRefusal> {
        if let Some(why) = certificate.fault() {
            return Err(IdentityRefusal::malformed(why));
        }
        let ClientCertificate::Chain(chain) = certificate else { return Ok(()) };
        if chain.len() > self.max_bytes {
            let detail = format!("the client certificate is longer than {} bytes", self.max_bytes);
            return Err(IdentityRefusal::malformed(detail));
        }
        if chain.above.len() > self.max_intermediates {
            let most = self.max_intermediates;
            let detail = format!(
                "{} certificates came with the client's own, at most {most} are read",
                chain.above.len()
            );
            return Err(IdentityRefusal::malformed(detail));
        }
        Ok(())
    }
}

/// The certificate must be there, be the one with this digest, and be good at `now`.
pub(super) fn check_bound(
    bound_to: &[u8; 32],
    certificate: &ClientCertificate,
    now: Timestamp,
) -> Result<(), IdentityRefusal> {
    let shown = match certificate {
        ClientCertificate::Digest(digest) => *digest,
        ClientCertificate::Chain(chain) => Sha256::digest(&chain.leaf).into(),
        _ => return Err(failed("the token is bound to a certificate, and none was presented")),
    };
    if shown != *bound_to {
        return Err(failed("the token is bound to another certificate than the one presented"));
    }
    match certificate {
        ClientCertificate::Chain(chain) => check_time(&parse(&chain.leaf)?, now),
        // Whoever passed on no more than a digest has seen the certificate, and when it is good.
        _ => Ok(()),
    }
}

/// Without `about_proof`: a DPoP proof would not help.
fn failed(detail: &'static str) -> IdentityRefusal {
    IdentityRefusal::new(CredentialFault::BindingFailed, detail)
}

/// Exactly one certificate: bytes behind it would make a second digest of the same certificate.
pub(super) fn parse(der: &[u8]) -> Result<X509Certificate<'_>, IdentityRefusal> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(IdentityRefusal::malformed("bytes follow the client certificate")),
        Err(_) => Err(IdentityRefusal::malformed("the client certificate is not one in DER")),
    }
}

/// Both ends are inside (RFC 5280 section 4.1.2.5). There is no leeway: who issues a certificate chooses its times.
pub(super) fn check_time(certificate: &X509Certificate<'_>, now: Timestamp) -> Result<(), IdentityRefusal> {
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if now.seconds() < begin {
        let detail = format!("the client certificate is valid from {} on", Timestamp::from_seconds(begin));
        return Err(IdentityRefusal::new(CredentialFault::NotYetValid, detail));
    }
    if now.seconds() > end {
        let detail = format!("the client certificate was valid until {}", Timestamp::from_seconds(end));
        return Err(IdentityRefusal::new(CredentialFault::Expired, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CertificateChain, Reason};

    fn chain(leaf: usize, above: usize) -> ClientCertificate {
        ClientCertificate::Chain(CertificateChain::forwarded(vec![0; leaf], vec![vec![0]; above]))
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let config = CertificateConfig { max_bytes: 100, max_intermediates: 2 };
        let fine = |certificate: &ClientCertificate| config.check(certificate).is_ok();
        assert!(fine(&chain(98, 2)) && fine(&ClientCertificate::None));
        assert!(fine(&ClientCertificate::Digest([1; 32])));
        assert!(!fine(&chain(99, 2)) && !fine(&chain(1, 3)));
        assert!(!fine(&ClientCertificate::Malformed("two of them")));
    }

    #[test]
    fn settings_that_cannot_work_are_refused_with_the_setting_named() {
        assert_eq!(CertificateConfig::default().problem(), None);
        let none = CertificateConfig { max_bytes: 0, ..CertificateConfig::default() };
        assert!(none.problem().unwrap().contains("max_bytes"));
        let deep = CertificateConfig { max_intermediates: 7, ..CertificateConfig::default() };
        assert!(deep.problem().unwrap().contains("max_intermediates"));
    }

    #[test]
    fn a_digest_is_compared_and_what_is_no_certificate_is_not_one() {
        let now = Timestamp::from_seconds(0);
        let reason = |certificate| check_bound(&[1; 32], &certificate, now).map_err(|refusal| refusal.reason);
        let failed = Err(Reason::CredentialInvalid(CredentialFault::BindingFailed));
        assert_eq!(reason(ClientCertificate::Digest([1; 32])), Ok(()));
        assert_eq!(reason(ClientCertificate::Digest([2; 32])), failed);
        assert_eq!(reason(ClientCertificate::None), failed);
        assert_eq!(reason(chain(3, 0)), failed);
        let bound_to = Sha256::digest([0; 3]).into();
        let refusal = check_bound(&bound_to, &chain(3, 0), now).unwrap_err();
        assert_eq!(refusal.reason, Reason::CredentialInvalid(CredentialFault::Malformed));
    }
}
