//! Authorities and certificates for one test, written to files as an operator would.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deodar::api::dial::Trust;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};

/// An authority that vouches for certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub file: PathBuf,
}

/// The names that listeners of tests are reached by.
pub const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// A certificate and its key, in files.
#[derive(Clone, Debug)]
pub struct Issued {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub der: Vec<u8>,
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = folder.join(format!("{name}.ca.pem"));
        fs::write(&file, certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A listener's certificate.
    pub fn server(&self, folder: &Path, file: &str, names: &[&str]) -> Issued {
        self.issue(folder, file, &params(names, ExtendedKeyUsagePurpose::ServerAuth))
    }

    /// A client's certificate for these names; those with `://` in them are URIs.
    pub fn client(&self, folder: &Path, file: &str, names: &[&str]) -> Issued {
        self.issue(folder, file, &params(names, ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// A client's certificate that is good until this moment, in seconds since the epoch.
    pub fn client_until(&self, folder: &Path, file: &str, names: &[&str], end: i64) -> Issued {
        let mut params = params(names, ExtendedKeyUsagePurpose::ClientAuth);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(end).unwrap());
        self.issue(folder, file, &params)
    }

    /// One whose time is over.
    pub fn expired(&self, folder: &Path, file: &str, usage: ExtendedKeyUsagePurpose) -> Issued {
        let mut params = params(&HERE, usage);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.issue(folder, file, &params)
    }

    fn issue(&self, folder: &Path, file: &str, params: &CertificateParams) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let issued = Issued {
            certificate: folder.join(format!("{file}.crt")),
            key: folder.join(format!("{file}.key")),
            der: certificate.der().to_vec(),
        };
        // As a renewal does it: each file is whole at every moment, and the key is there first.
        write(&issued.key, &key.serialize_pem());
        write(&issued.certificate, &certificate.pem());
        issued
    }
}

fn params(names: &[&str], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
    let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
    params.extended_key_usages = vec![usage];
    params
}

/// Puts a file that only its owner can read in the place of what was there.
pub fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

impl Issued {
    /// What a client with this certificate gives to its connections.
    pub fn trusting(&self, authority: &Authority) -> Trust {
        Trust {
            ca_file: Some(authority.file.clone()),
            certificate: Some(self.certificate.clone()),
            key: Some(self.key.clone()),
        }
    }

    /// The lines that give it to a listener.
    pub fn section(&self, listener: &str, more: &str) -> String {
        format!(
            "[server.{listener}_tls]\ncertificate = \"{}\"\nkey = \"{}\"\n{more}\n",
            self.certificate.display(),
            self.key.display()
        )
    }
}

/// What a client without a certificate gives to its connections.
pub fn trust(authority: &Authority) -> Trust {
    Trust { ca_file: Some(authority.file.clone()), ..Trust::default() }
}
