//! Records of decisions: finding them again.

use super::{ManageError, Management};
use crate::audit::reader;
use crate::model::{DecisionId, Page, PageRequest, Record, RecordFilter, Refusals};

impl Management {
    pub async fn get_record(&self, id: DecisionId) -> Result<Record<'static>, ManageError> {
        let record = reader::get(self.store.as_ref(), id).await?;
        record.ok_or_else(|| ManageError::NotFound { what: "decision", name: id.to_string() })
    }

    pub async fn list_records(
        &self,
        filter: &RecordFilter,
        page: &PageRequest,
    ) -> Result<Page<Record<'static>>, ManageError> {
        if let (Some(from), Some(until)) = (filter.from, filter.until)
            && from >= until
        {
            let why = format!("{until} is not after from_time {from}");
            return Err(ManageError::invalid("until_time", why));
        }
        Ok(reader::list(self.store.as_ref(), filter, page).await?)
    }

    pub async fn list_refusals(&self, page: &PageRequest) -> Result<Page<Refusals>, ManageError> {
        Ok(self.store.list_refusals(page).await?)
    }
}
