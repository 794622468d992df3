//! The files of a listener, read, checked, and made into what a handshake needs.
//!
//! All of it is rebuilt at each reading and swapped whole, so that a handshake never sees a certificate of one reading
//! and authorities of another.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, SupportedProtocolVersion};
use sha2::{Digest, Sha256};

use super::config::{ClientCertificates, TlsFiles, TlsVersion};
use crate::api::pem;
use crate::identity::NamedCertificate;
use crate::model::{Clock, Timestamp};

/// The contents of the files.
pub struct Material {
    files: TlsFiles,
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of its DER bytes, in hexadecimal digits.
    pub sha256: String,
    /// The names it is for.
    pub names: Vec<String>,
    pub valid_from: Timestamp,
    pub expires_at: Timestamp,
}

impl Material {
    /// Reads the files. Errors name the file.
    pub fn read(files: &TlsFiles) -> anyhow::Result<Self> {
        let authorities = files.clients.as_ref().map(|(path, _)| pem::read(path)).transpose()?;
        Ok(Self {
            files: files.clone(),
            certificate: pem::read(&files.certificate)?,
            key: pem::read_secret(&files.key)?,
            authorities,
        })
    }

    /// Tells one content of the files from another.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for bytes in [Some(&self.certificate), Some(&self.key), self.authorities.as_ref()] {
            // Each by itself, so that bytes which move from one file to the next make a difference.
            digest.update(bytes.map_or([0; 32], |bytes| Sha256::digest(bytes).into()));
        }
        digest.finalize().into()
    }

    /// What a handshake needs. Fails when clients could not use it: the key is another certificate's, the certificate
    /// has expired or is not valid yet.
    pub fn build(
        &self,
        oldest: TlsVersion,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<(rustls::ServerConfig, CertificateFacts)> {
        let path = &self.files.certificate;
        let chain = pem::certificates(path, &self.certificate)?;
        let own = chain.first().and_then(|own| NamedCertificate::read(own));
        let own = own.with_context(|| format!("the certificate in {} cannot be read", path.display()))?;
        let facts = CertificateFacts::from(own);
        facts.check(clock.now()).with_context(|| format!("{} cannot be used", path.display()))?;
        let key = pem::private_key(&self.files.key, &self.key)?;
        let now = Arc::new(Now(Arc::clone(clock)));
        let builder =
            rustls::ServerConfig::builder_with_details(Arc::new(aws_lc_rs::default_provider()), now)
                .with_protocol_versions(&versions(oldest))?;
        let builder = match self.verifier()? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut server = builder.with_single_cert(chain, key).with_context(|| {
            let key = self.files.key.display();
            format!("the certificate in {} and the key in {key} do not go together", path.display())
        })?;
        // gRPC is HTTP/2.
        server.alpn_protocols = vec![b"h2".to_vec()];
        // A session that is resumed brings back the client certificate of its beginning, unchecked. Connections here are
        // few and long, so that a whole handshake each is no loss.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok((server, facts))
    }

    /// Who says whether a client's certificate is good.
    fn verifier(&self) -> anyhow::Result<Option<Arc<dyn ClientCertVerifier>>> {
        let (Some((path, wanted)), Some(bytes)) = (&self.files.clients, &self.authorities) else {
            return Ok(None);
        };
        let mut roots = RootCertStore::empty();
        for (index, authority) in pem::certificates(path, bytes)?.into_iter().enumerate() {
            let place = || format!("certificate {} in {} is no authority", index + 1, path.display());
            roots.add(authority).with_context(place)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match wanted {
            ClientCertificates::Required => builder,
            ClientCertificates::Wanted => builder.allow_unauthenticated(),
            // Files without a wish for certificates name no authorities.
            ClientCertificates::None => bail!("client certificates are not wanted"),
        };
        Ok(Some(builder.build().with_context(|| format!("{} cannot be used", path.display()))?))
    }
}

fn versions(oldest: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    match oldest {
        TlsVersion::V1_2 => vec![&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => vec![&rustls::version::TLS13],
    }
}

impl From<NamedCertificate> for CertificateFacts {
    fn from(certificate: NamedCertificate) -> Self {
        Self {
            sha256: hex::encode(certificate.sha256),
            names: certificate.subjects,
            valid_from: certificate.valid_from,
            expires_at: certificate.expires_at,
        }
    }
}

impl CertificateFacts {
    fn check(&self, now: Timestamp) -> anyhow::Result<()> {
        ensure!(!self.has_expired(now), "its certificate expired at {}", self.expires_at);
        ensure!(now >= self.valid_from, "its certificate is valid from {} on", self.valid_from);
        Ok(())
    }

    /// A certificate is valid up to its last second, that one included.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at.plus(Duration::from_secs(1))
    }

    /// Whether it expires within this time.
    pub fn expires_within(&self, time: Duration, now: Timestamp) -> bool {
        self.has_expired(now.plus(time))
    }
}

/// The injected clock, as handshakes read it.
struct Now(Arc<dyn Clock>);

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().seconds()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
