//! A certificate that names a workload: an X.509-SVID of a trust domain.
//!
//! The name in the certificate chooses the trust domain, and only the authorities of that one are asked about it: those of one
//! trust domain cannot speak for another. That the client holds the key was shown in the handshake.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use sha2::{Digest, Sha256};
use webpki::{EndEntityCert, Error, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::certificate;
use super::lifetime::Lifetime;
use super::refusal::{IdentityRefusal, excerpt};
use super::spiffe_id::SpiffeId;
use super::trust_domain::{TrustDomain, TrustDomains};
use crate::model::{
    CertificateChain, Confirmation, CredentialFault, Principal, PrincipalId, PrincipalKind, Timestamp,
    TokenFacts, TokenKind,
};

/// The longest path of a SPIFFE ID that becomes a principal, in bytes: as long as the subject of a token.
const MAX_SUBJECT_BYTES: usize = 255;

/// Who a certificate proves, and for how long.
#[derive(Debug)]
pub(super) struct Known {
    pub principal: Principal,
    pub lifetime: Lifetime,
}

/// What a certificate is kept under: a hash of it and of those that came along, which no token hashes to.
pub(super) fn cache_key(chain: &CertificateChain) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(b"X.509-SVID\0");
    for der in chain.all() {
        hash.update((der.len() as u64).to_be_bytes());
        hash.update(der);
    }
    hash.finalize().into()
}

/// Whether a certificate names a workload of one of these trust domains, rightly or not.
pub(super) fn is_meant(chain: &CertificateChain, domains: &TrustDomains) -> bool {
    if domains.is_empty() {
        return false;
    }
    let Ok(leaf) = certificate::parse(&chain.leaf) else { return false };
    let Ok(uris) = uris(&leaf) else { return false };
    let ours = |uri: &&str| {
        // One that is spelt wrongly is somebody's mistake or trick, and not a foreigner.
        SpiffeId::is_meant(uri)
            && SpiffeId::parse(uri).map_or(true, |id| domains.named(id.trust_domain).is_some())
    };
    uris.iter().any(ours)
}

/// Checks everything that makes the certificate a good one, at `now`, of a workload of a trust domain.
pub(super) fn verify(
    chain: &CertificateChain,
    domains: &TrustDomains,
    now: Timestamp,
) -> Result<Known, IdentityRefusal> {
    let leaf = certificate::parse(&chain.leaf)?;
    let id = name(&leaf)?;
    let domain = domains.of(&id)?;
    check_leaf(&leaf)?;
    let validity = check_path(chain, domain, now)?;
    let sha256 = Sha256::digest(&chain.leaf).into();
    let lifetime = lifetime(&leaf, validity, domain)?;
    Ok(Known { principal: workload(&id, domain, &leaf, sha256)?, lifetime })
}

/// Exactly one URI, and it is the SPIFFE ID of a workload.
fn name<'a>(leaf: &'a X509Certificate<'_>) -> Result<SpiffeId<'a>, IdentityRefusal> {
    let uris = uris(leaf)?;
    let [uri] = uris.as_slice() else {
        let detail = format!("the client certificate has {} URI names; an SVID has one", uris.len());
        return Err(IdentityRefusal::malformed(detail));
    };
    let id = SpiffeId::parse(uri).map_err(IdentityRefusal::malformed)?;
    if id.path.is_empty() {
        return Err(IdentityRefusal::malformed("the SPIFFE ID is that of a trust domain, not of a workload"));
    }
    Ok(id)
}

/// The URIs among the names of a certificate. A name that cannot be read could be one.
pub(super) fn uris<'a>(certificate: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, IdentityRefusal> {
    let unreadable = || IdentityRefusal::malformed("the names of the client certificate cannot be read");
    let Some(names) = certificate.subject_alternative_name().map_err(|_| unreadable())? else {
        return Ok(Vec::new());
    };
    let mut uris = Vec::new();
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return Err(unreadable()),
            _ => {}
        }
    }
    Ok(uris)
}

/// A workload's own certificate signs handshakes and nothing else (X509-SVID sections 4.1 to 4.4).
fn check_leaf(leaf: &X509Certificate<'_>) -> Result<(), IdentityRefusal> {
    let wrong = |detail: &str| Err(IdentityRefusal::new(CredentialFault::WrongType, detail));
    let unreadable =
        |_| IdentityRefusal::malformed("the extensions of the client certificate cannot be read");
    if leaf.basic_constraints().map_err(unreadable)?.is_some_and(|constraints| constraints.value.ca) {
        return wrong("the client certificate is that of an authority (`cA` is set)");
    }
    let Some(usage) = leaf.key_usage().map_err(unreadable)? else {
        return wrong("the client certificate does not say what its key is for");
    };
    if !usage.critical {
        return wrong("the key usage of the client certificate is not critical");
    }
    if !usage.value.digital_signature() {
        return wrong("the key of the client certificate is not for signatures");
    }
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return wrong("the key of the client certificate is for signing certificates");
    }
    match leaf.extended_key_usage().map_err(unreadable)? {
        Some(extended) if !(extended.value.client_auth && extended.value.server_auth) => {
            wrong("the client certificate is not for both ends of TLS")
        }
        _ => Ok(()),
    }
}

/// The time in which every certificate of a path is good.
#[derive(Clone, Copy)]
struct Validity {
    begin: i64,
    end: i64,
}

impl Validity {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self { begin: validity.not_before.timestamp(), end: validity.not_after.timestamp() }
    }

    fn and(self, other: Self) -> Self {
        Self { begin: self.begin.max(other.begin), end: self.end.min(other.end) }
    }
}

/// Follows the signatures from the certificate to an authority of the trust domain.
fn check_path(
    chain: &CertificateChain,
    domain: &TrustDomain,
    now: Timestamp,
) -> Result<Validity, IdentityRefusal> {
    let leaf = CertificateDer::from(chain.leaf.as_slice());
    let above: Vec<CertificateDer<'_>> =
        chain.above.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let end_entity = EndEntityCert::try_from(&leaf).map_err(|error| refusal(&error))?;
    let seconds = u64::try_from(now.seconds()).unwrap_or_default();
    let path = end_entity
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &domain.anchors,
            &above,
            UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
            KeyUsage::client_auth(),
            None,
            None,
        )
        .map_err(|error| refusal(&error))?;
    let mut validity = Validity::of(&certificate::parse(&chain.leaf)?);
    for authority in path.intermediate_certificates() {
        let der = authority.der();
        let authority = certificate::parse(&der)?;
        if !signs_certificates(&authority) {
            let detail = "a certificate on the path may not sign certificates (key usage)";
            return Err(IdentityRefusal::new(CredentialFault::WrongType, detail));
        }
        validity = validity.and(Validity::of(&authority));
    }
    Ok(validity)
}

/// The crate underneath does not look at the key usage of authorities (RFC 5280 section 4.2.1.3).
pub(super) fn signs_certificates(authority: &X509Certificate<'_>) -> bool {
    let usage = authority.key_usage().ok().flatten();
    usage.is_some_and(|usage| usage.value.key_cert_sign())
}

/// Each fault of a path with its own reason; none of its text comes from the certificate.
fn refusal(error: &Error) -> IdentityRefusal {
    let fault = match error {
        Error::CertExpired { .. } => CredentialFault::Expired,
        Error::CertNotValidYet { .. } => CredentialFault::NotYetValid,
        Error::UnknownIssuer => CredentialFault::UnknownKey,
        Error::InvalidSignatureForPublicKey => CredentialFault::BadSignature,
        Error::CaUsedAsEndEntity
        | Error::EndEntityUsedAsCa
        | Error::PathLenConstraintViolated
        | Error::NameConstraintViolation
        | Error::RequiredEkuNotFoundContext(_) => CredentialFault::WrongType,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => CredentialFault::AlgorithmNotAllowed,
        _ => CredentialFault::Malformed,
    };
    let detail = match error {
        Error::UnknownIssuer => {
            "no authority of the trust domain has signed the client certificate".to_owned()
        }
        Error::CertExpired { .. } => "the client certificate, or one on its path, has expired".to_owned(),
        Error::CertNotValidYet { .. } => {
            "the client certificate, or one on its path, is not valid yet".to_owned()
        }
        other => format!("the path of the client certificate: {other}"),
    };
    IdentityRefusal::new(fault, detail)
}

/// How long the answer may be kept. The last second belongs to a certificate (RFC 5280 section 4.1.2.5).
fn lifetime(
    leaf: &X509Certificate<'_>,
    path: Validity,
    domain: &TrustDomain,
) -> Result<Lifetime, IdentityRefusal> {
    let own = Validity::of(leaf);
    let at = Timestamp::from_seconds;
    let (length, max) = (at(own.end).since(at(own.begin)), domain.rules.max_lifetime);
    if length > max {
        let detail = format!(
            "the client certificate lives {} s, the trust domain may give {} s",
            length.as_secs(),
            max.as_secs()
        );
        return Err(IdentityRefusal::new(CredentialFault::TooLongLived, detail));
    }
    Ok(Lifetime {
        issued_at: at(own.begin),
        not_before: Some(at(path.begin)),
        expires_at: at(path.end.saturating_add(1)),
        leeway: Duration::ZERO,
        max_age: max.saturating_add(Duration::from_secs(2)),
    })
}

fn workload(
    id: &SpiffeId<'_>,
    domain: &TrustDomain,
    leaf: &X509Certificate<'_>,
    sha256: [u8; 32],
) -> Result<Principal, IdentityRefusal> {
    let own = Validity::of(leaf);
    let mut principal = named(id, domain)?;
    principal.token = Some(TokenFacts {
        issuer: domain.alias().clone(),
        kind: TokenKind::Svid,
        client_id: None,
        audience: Default::default(),
        scopes: Default::default(),
        issued_at: Timestamp::from_seconds(own.begin),
        expires_at: Timestamp::from_seconds(own.end),
        auth_time: None,
        acr: None,
        amr: Default::default(),
        // The handshake is the proof, so the certificate is bound to itself.
        confirmation: Confirmation { jkt: None, x5t_s256: Some(sha256) },
        sender_constrained: true,
        actor: None,
        token_id: None,
        session_id: None,
        sha256,
    });
    Ok(principal)
}

/// A workload of which nothing but the name is known.
pub(super) fn named(id: &SpiffeId<'_>, domain: &TrustDomain) -> Result<Principal, IdentityRefusal> {
    if id.path.len() > MAX_SUBJECT_BYTES {
        let detail = format!(
            "the path of the SPIFFE ID {} is longer than {MAX_SUBJECT_BYTES} bytes",
            excerpt(id.path)
        );
        return Err(IdentityRefusal::malformed(detail));
    }
    Ok(Principal::bare(PrincipalId::new(PrincipalKind::Workload, domain.alias(), id.path)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
    };

    use super::super::trust_domain::TrustDomainConfig;
    use super::*;

    const NOW: i64 = 1_800_000_000;

    /// A trust domain, and a good certificate of a workload of it.
    fn mesh() -> (TrustDomains, Vec<u8>) {
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = authority.self_signed(&authority_key).unwrap();
        let mut leaf = CertificateParams::default();
        leaf.subject_alt_names = vec![SanType::URI("spiffe://prod/web".try_into().unwrap())];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap());
        leaf.not_before = date_time_ymd(1970, 1, 1) + seconds(NOW - 60);
        leaf.not_after = date_time_ymd(1970, 1, 1) + seconds(NOW + 3_600);
        let der = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap().der().to_vec();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("prod.pem"), root.pem()).unwrap();
        let text = "alias = \"prod\"\nname = \"prod\"\nbundle_file = \"prod.pem\"";
        let config: TrustDomainConfig = toml::from_str(text).unwrap();
        (TrustDomains::build(&[config], folder.path(), |_| false).unwrap(), der)
    }

    fn check(domains: &TrustDomains, leaf: Vec<u8>, now: i64) -> Result<Known, IdentityRefusal> {
        let chain = CertificateChain::forwarded(leaf, Vec::new());
        verify(&chain, domains, Timestamp::from_seconds(now))
    }

    #[test]
    fn what_is_kept_ends_when_the_certificate_ends() {
        let (domains, der) = mesh();
        for (now, good) in [(NOW - 61, false), (NOW - 60, true), (NOW + 3_600, true), (NOW + 3_601, false)] {
            assert_eq!(check(&domains, der.clone(), now).is_ok(), good, "{now}");
            let kept = check(&domains, der.clone(), NOW).unwrap().lifetime;
            assert_eq!(kept.check(Timestamp::from_seconds(now)).is_ok(), good, "{now}");
        }
    }

    #[test]
    fn another_chain_has_another_key() {
        let key = |leaf: &[u8], above: &[&[u8]]| {
            let above = above.iter().map(|der| der.to_vec()).collect();
            cache_key(&CertificateChain::forwarded(leaf.to_vec(), above))
        };
        let keys = [key(b"ab", &[]), key(b"a", &[b"b"]), key(b"a", &[b"", b"b"]), key(b"", &[b"ab"])];
        for (index, one) in keys.iter().enumerate() {
            assert!(keys[index + 1..].iter().all(|other| other != one));
        }
    }

    proptest! {
        /// One byte that is another one, wherever it stands, and a certificate is not believed.
        #[test]
        fn no_changed_certificate_is_believed(place in any::<prop::sample::Index>(), by in 1_u8..) {
            let (domains, mut der) = mesh();
            let place = place.index(der.len());
            der[place] ^= by;
            prop_assert!(check(&domains, der, NOW).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (domains, _) = mesh();
            prop_assert!(check(&domains, bytes, NOW).is_err());
        }
    }
}
