//! The policy sets that come with the binary: `policies/` of this repository.

use std::fs;
use std::io;
use std::path::Path;

use include_dir::{Dir, include_dir};

static POLICIES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/policies");

/// Writes one set (`zero-trust`, `demo`) into a folder. Files that are there already are left as they are: they may
/// have been edited.
pub fn unpack(set: &str, into: &Path) -> io::Result<()> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no policy set `{set}` is shipped"));
    let folder = POLICIES.get_dir(set).ok_or_else(unknown)?;
    unpack_folder(folder, folder.path(), into)
}

fn unpack_folder(folder: &Dir<'_>, root: &Path, into: &Path) -> io::Result<()> {
    for file in folder.files() {
        let path = into.join(file.path().strip_prefix(root).unwrap_or(file.path()));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        if !path.exists() {
            fs::write(&path, file.contents())?;
        }
    }
    folder.dirs().try_for_each(|folder| unpack_folder(folder, root, into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_keeps_what_was_edited() {
        let folder = tempfile::tempdir().unwrap();
        unpack("zero-trust", folder.path()).unwrap();
        let readme = folder.path().join("README.md");
        fs::write(&readme, "mine").unwrap();
        unpack("zero-trust", folder.path()).unwrap();
        assert_eq!(fs::read_to_string(readme).unwrap(), "mine");
        assert!(unpack("nonsense", folder.path()).is_err());
    }
}
