//! Reading the trail: stored bytes back into records.

use super::{AuditError, record};
use crate::model::{DecisionId, Page, PageRequest, Record, RecordFilter};
use crate::store::Decisions;

/// One record; `None` when there is none, or none yet: records are stored shortly after the answer.
pub async fn get(
    store: &(dyn Decisions + Send + Sync),
    id: DecisionId,
) -> Result<Option<Record<'static>>, AuditError> {
    let bytes = store.get_record(id).await?;
    bytes.map(|bytes| record::decode(&bytes)).transpose()
}

/// Records, newest first. Fails as a whole when one of them cannot be read: a trail with silent holes is none.
pub async fn list(
    store: &(dyn Decisions + Send + Sync),
    filter: &RecordFilter,
    page: &PageRequest,
) -> Result<Page<Record<'static>>, AuditError> {
    let Page { items, next } = store.list_records(filter, page).await?;
    let records: Result<Vec<_>, _> = items.iter().map(|bytes| record::decode(bytes)).collect();
    Ok(Page { items: records?, next })
}
