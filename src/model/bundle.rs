//! A bundle: an immutable, content-addressed set of policy files.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// SHA-256 over a bundle's files; its name everywhere. Written `sha256:<hex>`, and kept so: every answer names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleDigest(Arc<str>);

impl BundleDigest {
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(format!("sha256:{}", hex::encode(bytes)).into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BundleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Relative to the bundle's root, with `/`: `orders/clerks.cedar`.
    pub path: String,
    pub text: String,
}

/// The files of a bundle, read but not yet understood. Sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleSource {
    files: Vec<SourceFile>,
}

impl BundleSource {
    pub fn new(mut files: Vec<SourceFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { files }
    }

    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    pub fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        let has = move |path: &str| path.rsplit_once('.').is_some_and(|(_, found)| found == extension);
        self.files.iter().filter(move |file| has(&file.path))
    }

    /// The digest covers names and contents; lengths are part of it, so that no two bundles share a byte stream.
    pub fn digest(&self) -> BundleDigest {
        let mut hash = Sha256::new();
        for file in &self.files {
            for part in [&file.path, &file.text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        BundleDigest::from_bytes(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.into(), text: text.into() }
    }

    #[test]
    fn the_digest_depends_on_content_and_not_on_order() {
        let one = BundleSource::new(vec![file("a.cedar", "x"), file("b.cedar", "y")]);
        let same = BundleSource::new(vec![file("b.cedar", "y"), file("a.cedar", "x")]);
        let other = BundleSource::new(vec![file("a.cedar", "xb"), file(".cedar", "y")]);
        assert_eq!(one.digest(), same.digest());
        assert_ne!(one.digest(), other.digest());
    }
}
