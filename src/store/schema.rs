//! Whether the schema that is there is the one this binary was built with; the same rule for both backends.

use sqlx::migrate::{AppliedMigration, MigrateError, Migrator};

use super::StoreError;

/// Compares versions first, then the checksums of each version.
pub(super) fn compare(migrator: &Migrator, applied: &[AppliedMigration]) -> Result<(), StoreError> {
    let wanted = migrator.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found != wanted || applied.len() != migrator.iter().len() {
        return Err(StoreError::NotMigrated { found, wanted });
    }
    for (ours, theirs) in migrator.iter().zip(applied) {
        if ours.checksum != theirs.checksum {
            return Err(StoreError::Migration(MigrateError::VersionMismatch(ours.version)));
        }
    }
    Ok(())
}
