//! Directories of policy files, read into a bundle source: the only I/O of the room.
//!
//! The order is fixed by names, so that the same files give the same digest on every machine. Links are followed
//! (mounted configuration is made of them), but no directory is visited twice. What the files mean is `compile`'s.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::config::Limits;
use crate::model::{BundleSource, SourceFile};

/// What can go wrong on the way from a directory to its text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read `{}`", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the name `{}` is not valid UTF-8", path.display())]
    NameNotUtf8 { path: PathBuf },
    #[error("`{}` is not valid UTF-8: byte {offset} begins no character", path.display())]
    NotUtf8 { path: PathBuf, offset: usize },
    #[error("`{}` lies more than {MAX_DEPTH} directories deep", path.display())]
    TooDeep { path: PathBuf },
    #[error("`{}` is reached twice: a link leads back to it", path.display())]
    Loop { path: PathBuf },
    #[error("the files have more than {limit} bytes together; `{}` is one too many", path.display())]
    TooLarge { path: PathBuf, limit: usize },
}

/// No policy set that people write is nested like this; a tree that is, is a mistake.
const MAX_DEPTH: usize = 16;

/// Reads the policies, schemas and static entities of all directories into one bundle. What lies below a folder
/// `cases` is left out, and so is everything whose name begins with a dot.
///
/// Paths are relative to their directory; with several directories each path begins with its directory's name.
pub fn read(directories: &[PathBuf], limits: &Limits) -> Result<BundleSource, ReadError> {
    walk(directories, limits, belongs_to_bundle).map(BundleSource::new)
}

/// Reads the test cases: `*.yaml`, `*.yml` and `*.json` below folders named `cases`, in the order of their paths.
pub fn read_cases(directories: &[PathBuf], limits: &Limits) -> Result<Vec<SourceFile>, ReadError> {
    let mut files = walk(directories, limits, is_case)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn belongs_to_bundle(name: &str, in_cases: bool) -> bool {
    let known = [".cedar", ".cedarschema", ".cedarschema.json"].iter().any(|end| name.ends_with(end));
    !in_cases && (known || ["cedarentities.json", "cedartemplatelinks.json"].contains(&name))
}

fn is_case(name: &str, in_cases: bool) -> bool {
    in_cases && [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

type Wanted = fn(&str, bool) -> bool;

fn walk(directories: &[PathBuf], limits: &Limits, wanted: Wanted) -> Result<Vec<SourceFile>, ReadError> {
    let limit = limits.max_bundle_bytes;
    let mut walk = Walk { wanted, limit, left: limit, seen: HashSet::new(), files: Vec::new() };
    for (directory, prefix) in directories.iter().zip(prefixes(directories)) {
        walk.directory(directory, &prefix, 0, false)?;
    }
    Ok(walk.files)
}

/// One directory needs no prefix; several get their last names, numbered where these are the same.
fn prefixes(directories: &[PathBuf]) -> Vec<String> {
    if directories.len() < 2 {
        return vec![String::new(); directories.len()];
    }
    let mut taken = HashSet::new();
    let mut prefixes = Vec::new();
    for directory in directories {
        let name = directory.file_name().map_or_else(|| "policies".into(), |name| name.to_string_lossy());
        let mut prefix = format!("{name}/");
        let mut number = 2_usize;
        while !taken.insert(prefix.clone()) {
            prefix = format!("{name}-{number}/");
            number += 1;
        }
        prefixes.push(prefix);
    }
    prefixes
}

struct Walk {
    wanted: Wanted,
    limit: usize,
    left: usize,
    /// Directories by their real path: what stops links that lead in a circle.
    seen: HashSet<PathBuf>,
    files: Vec<SourceFile>,
}

impl Walk {
    fn directory(&mut self, path: &Path, prefix: &str, depth: usize, cases: bool) -> Result<(), ReadError> {
        if depth > MAX_DEPTH {
            return Err(ReadError::TooDeep { path: path.to_owned() });
        }
        let real = fs::canonicalize(path).map_err(|source| failed(path, source))?;
        if !self.seen.insert(real) {
            return Err(ReadError::Loop { path: path.to_owned() });
        }
        for (name, path) in sorted_entries(path)? {
            let is_directory = fs::metadata(&path).map_err(|source| failed(&path, source))?.is_dir();
            if is_directory {
                let prefix = format!("{prefix}{name}/");
                self.directory(&path, &prefix, depth + 1, cases || name == "cases")?;
            } else if (self.wanted)(&name, cases) {
                let text = self.text(&path)?;
                self.files.push(SourceFile { path: format!("{prefix}{name}"), text });
            }
        }
        Ok(())
    }

    /// The file's text. It reads at most one byte more than is left, whatever size the file claims to have.
    fn text(&mut self, path: &Path) -> Result<String, ReadError> {
        let file = File::open(path).map_err(|source| failed(path, source))?;
        let mut bytes = Vec::new();
        let bound = u64::try_from(self.left).unwrap_or(u64::MAX).saturating_add(1);
        file.take(bound).read_to_end(&mut bytes).map_err(|source| failed(path, source))?;
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            return Err(ReadError::TooLarge { path: path.to_owned(), limit: self.limit });
        };
        self.left = left;
        String::from_utf8(bytes).map_err(|error| ReadError::NotUtf8 {
            path: path.to_owned(),
            offset: error.utf8_error().valid_up_to(),
        })
    }
}

fn sorted_entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, ReadError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(|source| failed(directory, source))? {
        let path = entry.map_err(|source| failed(directory, source))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
            return Err(ReadError::NameNotUtf8 { path });
        };
        if !name.starts_with('.') {
            entries.push((name, path));
        }
    }
    entries.sort();
    Ok(entries)
}

fn failed(path: &Path, source: io::Error) -> ReadError {
    ReadError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }

    fn paths(files: &[SourceFile]) -> Vec<&str> {
        files.iter().map(|file| file.path.as_str()).collect()
    }

    #[test]
    fn a_bundle_and_its_cases_are_read_apart() {
        let root = tree(&[
            ("b.cedar", b"2"),
            ("a/x.cedar", b"1"),
            ("own.cedarschema", b""),
            ("cedarentities.json", b"[]"),
            ("README.md", b""),
            (".hidden/y.cedar", b""),
            ("cases/one.yaml", b"cases: []"),
            ("cases/fixture.cedar", b""),
        ]);
        let directories = [root.path().to_owned()];
        let source = read(&directories, &Limits::default()).unwrap();
        assert_eq!(paths(source.files()), ["a/x.cedar", "b.cedar", "cedarentities.json", "own.cedarschema"]);
        let cases = read_cases(&directories, &Limits::default()).unwrap();
        assert_eq!(paths(&cases), ["cases/one.yaml"]);
    }

    #[test]
    fn several_directories_keep_their_names_apart() {
        let one = tree(&[("p/a.cedar", b"")]);
        let two = tree(&[("p/a.cedar", b"")]);
        let directories = [one.path().join("p"), two.path().join("p")];
        let source = read(&directories, &Limits::default()).unwrap();
        assert_eq!(paths(source.files()), ["p-2/a.cedar", "p/a.cedar"]);
    }

    #[test]
    fn bytes_over_the_bound_are_refused() {
        let root = tree(&[("a.cedar", b"1234"), ("b.cedar", b"5678")]);
        let limits = |max_bundle_bytes| Limits { max_bundle_bytes, ..Limits::default() };
        let directories = [root.path().to_owned()];
        assert!(read(&directories, &limits(8)).is_ok());
        let error = read(&directories, &limits(7)).unwrap_err();
        assert!(matches!(&error, ReadError::TooLarge { path, .. } if path.ends_with("b.cedar")), "{error}");
    }

    #[test]
    fn text_that_is_not_utf8_is_named() {
        let root = tree(&[("a.cedar", b"ab\xff")]);
        let error = read(&[root.path().to_owned()], &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("a.cedar") && error.to_string().contains("byte 2"), "{error}");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = read(&[PathBuf::from("/nowhere/policies")], &Limits::default()).unwrap_err();
        assert!(error.to_string().contains("/nowhere/policies"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_never_in_a_circle() {
        let root = tree(&[("real/a.cedar", b"")]);
        let here = root.path().join("real");
        std::os::unix::fs::symlink(here.join("a.cedar"), here.join("b.cedar")).unwrap();
        assert_eq!(read(std::slice::from_ref(&here), &Limits::default()).unwrap().files().len(), 2);
        std::os::unix::fs::symlink(&here, here.join("again")).unwrap();
        let error = read(&[here], &Limits::default()).unwrap_err();
        assert!(matches!(error, ReadError::Loop { .. }), "{error}");
    }
}
