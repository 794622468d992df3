//! The settings of TLS on one listener.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS on one listener. With a certificate and its key the listener speaks TLS and nothing else.
///
/// The files are read again when they change and at a SIGHUP; what cannot be used leaves the old ones in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// A PEM file with the listener's certificate, and behind it those that lead to the authority that clients know.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the one private key of that certificate (PKCS #8, PKCS #1 or SEC 1, not encrypted). Nobody but its
    /// owner may write it, and nobody but its owner and its group may read it.
    pub key: Option<PathBuf>,
    /// Whether clients show a certificate of their own: `none`, nobody is asked; `wanted`, who has none comes in all the
    /// same; `required`, without one there is no connection. One that `client_ca` does not vouch for, or whose time is
    /// over, is no connection either way.
    pub client_certificates: ClientCertificates,
    /// A PEM file with the authorities that vouch for the certificates of clients. Only these: those of the system are
    /// never asked.
    pub client_ca: Option<PathBuf>,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// How long a handshake may take, from the moment that the connection is accepted.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub handshake_timeout: Duration,
    /// Handshakes under way at once; those beyond them wait for their turn, and their time runs.
    pub max_handshakes: NonZeroUsize,
    /// How long before the certificate expires the log and `deodar status` begin to warn.
    #[serde(with = "crate::model::duration")]
    #[schemars(with = "String")]
    pub expiry_warning: Duration,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            client_certificates: ClientCertificates::None,
            client_ca: None,
            min_version: TlsVersion::V1_2,
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: NonZeroUsize::new(256).unwrap_or(NonZeroUsize::MIN),
            expiry_warning: Duration::from_secs(14 * 24 * 3_600),
        }
    }
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    None,
    Wanted,
    Required,
}

impl ClientCertificates {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Wanted => "wanted",
            Self::Required => "required",
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    #[serde(rename = "TLSv1.2")]
    V1_2,
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

/// A handshake needs some round trips.
const LEAST_HANDSHAKE: Duration = Duration::from_millis(100);

/// The files of a listener that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authorities of clients, and whether a certificate must be shown.
    pub clients: Option<(PathBuf, ClientCertificates)>,
}

impl TlsConfig {
    /// The files; `None` for plaintext. Fails, with what would do, when the settings do not fit together.
    pub fn files(&self) -> Result<Option<TlsFiles>, String> {
        let wants_clients = self.client_certificates != ClientCertificates::None;
        let (certificate, key) = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            (None, None) if self.client_ca.is_none() && !wants_clients => return Ok(None),
            (None, None) => return Err("client certificates need TLS: set certificate and key".to_owned()),
            (Some(_), None) => return Err("certificate is set and key is not; TLS needs both".to_owned()),
            (None, Some(_)) => return Err("key is set and certificate is not; TLS needs both".to_owned()),
        };
        let clients = match (&self.client_ca, self.client_certificates) {
            (None, ClientCertificates::None) => None,
            (Some(authorities), wanted) if wants_clients => Some((authorities.clone(), wanted)),
            (Some(_), _) => {
                let why = "client_ca is set, but client_certificates = \"none\" asks nobody for one; set it to \
                           \"required\" or \"wanted\", or take client_ca away";
                return Err(why.to_owned());
            }
            (None, wanted) => {
                let wanted = wanted.as_str();
                return Err(format!(
                    "client_certificates = \"{wanted}\" needs client_ca, a PEM file with the authorities that \
                     vouch for clients"
                ));
            }
        };
        Ok(Some(TlsFiles { certificate, key, clients }))
    }

    /// What is wrong with the settings, whatever the files hold.
    pub fn check(&self) -> Result<(), String> {
        self.files()?;
        if self.handshake_timeout < LEAST_HANDSHAKE {
            let least = crate::model::duration::format(LEAST_HANDSHAKE);
            let given = crate::model::duration::format(self.handshake_timeout);
            return Err(format!("handshake_timeout = \"{given}\" is less than {least}"));
        }
        Ok(())
    }

    /// Whether the listener speaks TLS.
    pub const fn is_on(&self) -> bool {
        self.certificate.is_some()
    }

    /// Makes paths independent of the folder that the server is started in.
    pub fn settle_paths(&mut self, base: &Path) {
        for path in [&mut self.certificate, &mut self.key, &mut self.client_ca].into_iter().flatten() {
            *path = base.join(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_do_not_fit_together_are_told_with_the_way_out() {
        let path = || Some(PathBuf::from("x.pem"));
        let off = TlsConfig::default();
        let on = TlsConfig { certificate: path(), key: path(), ..off.clone() };
        assert_eq!(off.files(), Ok(None));
        assert!(on.files().unwrap().unwrap().clients.is_none());
        let told = |config: TlsConfig| config.check().unwrap_err();
        assert!(told(TlsConfig { certificate: path(), ..off.clone() }).contains("key is not"));
        assert!(told(TlsConfig { key: path(), ..off.clone() }).contains("certificate is not"));
        assert!(told(TlsConfig { client_ca: path(), ..off.clone() }).contains("need TLS"));
        let required = ClientCertificates::Required;
        assert!(told(TlsConfig { client_certificates: required, ..off }).contains("need TLS"));
        assert!(told(TlsConfig { client_certificates: required, ..on.clone() }).contains("needs client_ca"));
        assert!(told(TlsConfig { client_ca: path(), ..on.clone() }).contains("asks nobody"));
        let hasty = TlsConfig { handshake_timeout: Duration::from_millis(1), ..on };
        assert!(told(hasty).contains("\"1ms\" is less than 100ms"));
    }
}
