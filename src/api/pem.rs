//! Certificates and private keys from PEM files, for those who listen and those who connect.
//!
//! A file that holds nothing, or several keys where one is wanted, is an error that names it; a key that others can
//! read is no secret, and is refused before it is used.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("cannot read {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is longer than {MOST_BYTES} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("{} is not a PEM file: {why}", path.display())]
    Malformed { path: PathBuf, why: String },
    #[error("there is no certificate in {}", path.display())]
    NoCertificate { path: PathBuf },
    #[error(
        "there is no private key in {} that can be used; it takes an unencrypted one (PKCS #8, PKCS #1 or SEC 1)",
        path.display()
    )]
    NoKey { path: PathBuf },
    #[error("there are several private keys in {}; leave one", path.display())]
    SeveralKeys { path: PathBuf },
    #[error(
        "the private key {path} can be read or changed by others (mode {mode:04o}); `chmod 600 {path}`",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
}

/// Longer than any bundle of authorities that is in use.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// The group may read a key (as `ssl-cert` does); nobody else may do anything with it but the owner.
const NOT_OTHERS: u32 = 0o037;

/// The bytes of a file with certificates.
pub fn read(path: &Path) -> Result<Vec<u8>, PemError> {
    let file = File::open(path).map_err(unreadable(path))?;
    read_all(path, file)
}

/// The bytes of a file with a private key, unless others could read them too.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, PemError> {
    use std::os::unix::fs::PermissionsExt;
    let file = File::open(path).map_err(unreadable(path))?;
    // Of the file that is open, so that it cannot be another one by now.
    let mode = file.metadata().map_err(unreadable(path))?.permissions().mode() & 0o7777;
    if mode & NOT_OTHERS != 0 {
        return Err(PemError::Exposed { path: path.to_owned(), mode });
    }
    read_all(path, file)
}

fn read_all(path: &Path, file: File) -> Result<Vec<u8>, PemError> {
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable(path))?;
    if u64::try_from(read).is_ok_and(|read| read <= MOST_BYTES) {
        Ok(bytes)
    } else {
        Err(PemError::TooLong { path: path.to_owned() })
    }
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> PemError {
    move |source| PemError::Unreadable { path: path.to_owned(), source }
}

/// The certificates in the bytes of a file, in their order; at least one.
pub fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(malformed(path))?;
    if found.is_empty() { Err(PemError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// The one private key in the bytes of a file.
pub fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    let found: Result<Vec<_>, _> = PrivateKeyDer::pem_slice_iter(bytes).collect();
    let mut found = found.map_err(malformed(path))?.into_iter();
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key),
        (None, _) => Err(PemError::NoKey { path: path.to_owned() }),
        (Some(_), Some(_)) => Err(PemError::SeveralKeys { path: path.to_owned() }),
    }
}

fn malformed(path: &Path) -> impl Fn(rustls::pki_types::pem::Error) -> PemError {
    move |error| PemError::Malformed { path: path.to_owned(), why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, "secret").unwrap();
        for (mode, fine) in [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o660, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = read_secret(&path);
            assert_eq!(read.is_ok(), fine, "{mode:o}");
            if let Err(error) = read {
                let said = error.to_string();
                assert!(said.contains("chmod 600") && said.contains(&format!("{mode:04o}")), "{said}");
            }
        }
    }

    #[test]
    fn files_hold_what_they_should_or_are_named() {
        let path = Path::new("x.pem");
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
        assert_eq!(certificates(path, certificate.as_bytes()).unwrap().len(), 1);
        assert!(private_key(path, key.as_bytes()).is_ok());
        assert!(matches!(certificates(path, key.as_bytes()), Err(PemError::NoCertificate { .. })));
        assert!(matches!(private_key(path, certificate.as_bytes()), Err(PemError::NoKey { .. })));
        let twice = format!("{key}{key}");
        assert!(matches!(private_key(path, twice.as_bytes()), Err(PemError::SeveralKeys { .. })));
        let cut = &certificate[..certificate.len() / 2];
        assert!(certificates(path, cut.as_bytes()).is_err());
    }
}
