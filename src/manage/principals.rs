//! The directory of principals: what the deployment itself knows of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{ManageError, Management};
use crate::model::{Client, DirectoryEntry, Expected, Page, PageRequest, PrincipalId, Revision};

/// Roles, groups, tags of an entry, and values of a tag, each at most.
const MOST: usize = 200;
/// The longest role, group, or name of a tag, in bytes: as in tokens.
const LONGEST_NAME: usize = 255;
/// The longest value of a tag, and the longest note, in bytes.
const LONGEST_VALUE: usize = 1_024;

/// An entry as it is to be.
#[derive(Clone, Debug)]
pub struct NewEntry {
    pub principal: PrincipalId,
    pub active: bool,
    pub roles: BTreeSet<String>,
    pub groups: BTreeSet<String>,
    pub tags: BTreeMap<String, BTreeSet<String>>,
    pub note: String,
}

impl Management {
    pub async fn get_principal(&self, id: &PrincipalId) -> Result<DirectoryEntry, ManageError> {
        self.store.get_principal(id).await?.ok_or_else(|| unknown(id))
    }

    pub async fn list_principals(&self, page: &PageRequest) -> Result<Page<DirectoryEntry>, ManageError> {
        Ok(self.store.list_principals(page).await?)
    }

    /// Writes an entry whole, if what is there is what the editor expects.
    pub async fn put_principal(
        &self,
        new: NewEntry,
        expected: &Expected,
        by: &Client,
    ) -> Result<(DirectoryEntry, Revision), ManageError> {
        check(&new)?;
        let NewEntry { principal, active, roles, groups, tags, note } = new;
        let entry = DirectoryEntry {
            principal,
            active,
            roles,
            groups,
            tags,
            note,
            etag: uuid::Uuid::now_v7().to_string(),
            updated_by: by.id.clone(),
            updated_at: self.clock.now(),
        };
        let revision = self.store.put_principal(&entry, expected).await?;
        tracing::info!(active, by = %by.id, "principal put into the directory");
        Ok((entry, self.settle(revision).await))
    }

    /// Deletes an entry; of the principal counts what its credential says again.
    pub async fn delete_principal(
        &self,
        id: &PrincipalId,
        expected: &Expected,
        by: &Client,
    ) -> Result<Revision, ManageError> {
        let deleted = self.store.delete_principal(id, expected).await?;
        let revision = deleted.ok_or_else(|| unknown(id))?;
        tracing::info!(by = %by.id, "principal deleted from the directory");
        Ok(self.settle(revision).await)
    }
}

fn unknown(id: &PrincipalId) -> ManageError {
    ManageError::NotFound { what: "principal", name: id.to_string() }
}

fn check(new: &NewEntry) -> Result<(), ManageError> {
    if new.principal == PrincipalId::anonymous() {
        let why = "anonymous callers share one name and nothing else; they have no entry";
        return Err(ManageError::invalid("principal.principal_id", why));
    }
    check_words("principal.roles", &new.roles, LONGEST_NAME)?;
    check_words("principal.groups", &new.groups, LONGEST_NAME)?;
    let names: BTreeSet<String> = new.tags.keys().cloned().collect();
    check_words("principal.tags", &names, LONGEST_NAME)?;
    new.tags.values().try_for_each(|values| check_words("principal.tags", values, LONGEST_VALUE))?;
    let note = &new.note;
    if note.len() > LONGEST_VALUE || note.chars().any(char::is_control) {
        let why = format!("use at most {LONGEST_VALUE} bytes and no control characters");
        return Err(ManageError::invalid("principal.note", why));
    }
    Ok(())
}

fn check_words(field: &'static str, words: &BTreeSet<String>, longest: usize) -> Result<(), ManageError> {
    if words.len() > MOST {
        return Err(ManageError::invalid(
            field,
            format!("{} of them; at most {MOST} are taken", words.len()),
        ));
    }
    let unfit =
        |word: &&String| word.is_empty() || word.len() > longest || word.chars().any(char::is_control);
    if words.iter().any(|word| unfit(&word)) {
        let why = format!("each has 1 to {longest} bytes and no control characters");
        return Err(ManageError::invalid(field, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> NewEntry {
        NewEntry {
            principal: "User::dev/alice".parse().unwrap(),
            active: true,
            roles: ["clerk".to_owned()].into(),
            groups: BTreeSet::new(),
            tags: BTreeMap::new(),
            note: String::new(),
        }
    }

    #[test]
    fn an_entry_is_bounded_and_plain() {
        assert!(check(&entry()).is_ok());
        let long = "x".repeat(LONGEST_NAME + 1);
        let many: BTreeSet<String> = (0..=MOST).map(|n| n.to_string()).collect();
        let bad = [
            NewEntry { principal: PrincipalId::anonymous(), ..entry() },
            NewEntry { roles: [long.clone()].into(), ..entry() },
            NewEntry { roles: many, ..entry() },
            NewEntry { groups: [String::new()].into(), ..entry() },
            NewEntry { tags: [(long, BTreeSet::new())].into(), ..entry() },
            NewEntry { tags: [("team".to_owned(), ["a\nb".to_owned()].into())].into(), ..entry() },
            NewEntry { note: "\u{1b}[2J".into(), ..entry() },
        ];
        for (index, entry) in bad.iter().enumerate() {
            assert!(matches!(check(entry), Err(ManageError::Invalid { .. })), "{index}");
        }
    }
}
