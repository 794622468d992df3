//! The client key that the CLI presents: from a file that was named, from the environment, or from the data directory.
//! With a certificate to show, only one that was named: who is known by a certificate needs none.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, bail};

use super::Global;
use crate::model::Secret;

/// What the key is for: each purpose has its file in the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Asking for decisions; needs the role `gateway`.
    Decisions,
    /// Everything else; the first administrator may do it all.
    Management,
}

impl Purpose {
    const fn file(self) -> &'static str {
        match self {
            Self::Decisions => "gateway.key",
            Self::Management => "administrator.key",
        }
    }

    /// What to do when there is no key.
    const fn advice(self) -> &'static str {
        match self {
            Self::Decisions => {
                "make a client that may ask with `deodar client create my-gateway --role gateway --all-apis \
                 --key-out gateway.key` and name that file with --key-file"
            }
            Self::Management => {
                "the first start of a server writes one to its data directory; name that directory with --data-dir, \
                 or a file that holds a client key with --key-file"
            }
        }
    }
}

/// The key to present; `None` when a certificate is to be shown and no key was named.
pub fn find(global: &Global, purpose: Purpose) -> anyhow::Result<Option<Secret>> {
    if let Some(file) = &global.key_file {
        return read(file).map(Some);
    }
    if let Some(key) = from_environment() {
        return Ok(Some(key));
    }
    if global.tls_cert.is_some() {
        return Ok(None);
    }
    let file = global.data_dir().join(purpose.file());
    if !file.exists() {
        bail!("there is no client key at {}; {}", file.display(), purpose.advice());
    }
    read(&file).map(Some)
}

/// A key may come from the environment but not from the command line, where every process of the machine can read it.
#[expect(clippy::disallowed_methods, reason = "a secret has no flag, so clap cannot read it for us")]
fn from_environment() -> Option<Secret> {
    let key = std::env::var("DEODAR_KEY").ok()?;
    let key = key.trim();
    (!key.is_empty()).then(|| Secret::new(key))
}

fn read(file: &Path) -> anyhow::Result<Secret> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read the client key from {}", file.display()))?;
    let key = text.trim();
    if key.is_empty() {
        bail!("the key file {} is empty", file.display());
    }
    Ok(Secret::new(key))
}

/// Writes a key to a new file that only its owner may read.
pub fn write(file: &Path, key: &str) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(file).and_then(|mut file| writeln!(file, "{key}"));
    written.with_context(|| format!("cannot write the client key to {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::super::output::Format;
    use super::*;

    fn global(data_dir: &Path) -> Global {
        Global {
            output: Format::Table,
            server: String::new(),
            management: String::new(),
            key_file: None,
            ca_file: None,
            tls_cert: None,
            tls_key: None,
            data_dir: Some(data_dir.to_owned()),
        }
    }

    #[test]
    fn a_written_key_is_found_by_its_purpose_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.key");
        write(&file, "deodar_x_y").unwrap();
        let found = find(&global(folder.path()), Purpose::Decisions).unwrap();
        assert_eq!(found.unwrap().expose(), "deodar_x_y");
        let certified = Global { tls_cert: Some("x.crt".into()), ..global(folder.path()) };
        assert!(find(&certified, Purpose::Decisions).unwrap().is_none(), "nobody named a key");
        assert!(write(&file, "another").is_err(), "an existing key is never overwritten");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_missing_key_is_told_with_what_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let told = |purpose| find(&global(folder.path()), purpose).unwrap_err().to_string();
        assert!(
            told(Purpose::Decisions).contains("deodar client create my-gateway --role gateway --all-apis")
        );
        assert!(told(Purpose::Management).contains("--data-dir"));
    }

    #[test]
    fn a_named_file_comes_first_and_may_not_be_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.key");
        fs::write(&file, " \n").unwrap();
        let global = Global { key_file: Some(file), ..global(folder.path()) };
        assert!(find(&global, Purpose::Management).unwrap_err().to_string().contains("is empty"));
    }
}
