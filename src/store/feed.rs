//! The change feed: the contract. How a replica follows what others wrote.

use std::time::Duration;

use async_trait::async_trait;

use super::{StoreError, body};
use crate::model::{Change, ChangeBody, Revision};

/// Changes in commit order.
///
/// A writer takes its number from one row that it holds locked until it commits. So numbers are given out in commit
/// order, and a reader that has seen number `n` can never later find a change below `n`: asking for what is
/// above the last number seen misses nothing, however late or out of order writers commit.
#[async_trait]
pub trait Feed {
    /// Where the store stands.
    async fn current_revision(&self) -> Result<Revision, StoreError>;

    /// Up to `limit` changes above `after.number`, in order. Changes may be compacted after a retention time; the
    /// caller must compare [`Feed::oldest_change`] and the epoch, and load afresh when it has fallen behind or the
    /// history is another.
    ///
    /// A change that this version cannot read (of a newer replica during a rollout, or damaged) comes at its place as
    /// [`ChangeBody::Unknown`], so that it does not hold up those behind it. The caller must load afresh when it meets
    /// one: if it was about something that this version does know, that is how nothing is missed.
    async fn changes_after(&self, after: Revision, limit: u32) -> Result<Vec<Change>, StoreError>;

    /// The number of the oldest change still kept; `None` when there is none.
    async fn oldest_change(&self) -> Result<Option<u64>, StoreError>;

    /// Returns when something may have changed: on a notification, or after `at_most` (polling is the guarantee, the
    /// notification only makes it quick). Spurious returns are fine. An error means that notifications are away and the caller should
    /// fall back to waiting itself.
    async fn wait_for_change(&self, at_most: Duration) -> Result<(), StoreError>;

    /// Begins a new history at the same number: for whoever restored data in a way that the database cannot tell
    /// (an older copy of a SQLite file, while no process has it open; rows put back into Postgres tables that
    /// stayed). Followers of the old history load afresh.
    async fn renew_epoch(&self) -> Result<Revision, StoreError>;
}

/// A change as both databases return it: epoch, number, noun, body.
pub(super) type ChangeRow = (i64, i64, String, String);

pub(super) fn change_of((epoch, number, noun, text): ChangeRow) -> Change {
    let revision = Revision::new(epoch.cast_unsigned(), number.cast_unsigned());
    let read = body::decode("change", &text).ok().filter(|body: &ChangeBody| body.noun() == noun);
    Change { revision, body: read.unwrap_or(ChangeBody::Unknown { noun }) }
}
