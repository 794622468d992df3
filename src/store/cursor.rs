//! Page tokens: where a list ended, in a form that only the same list with the same filter takes back.
//!
//! A token is base64url over eight bytes that name list and filter, then the JSON of the last row's key. It is no
//! secret and proves nothing: whoever changes one only starts elsewhere in a list that they may read anyway.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::model::{Page, PageRequest, RecordFilter, RevocationFilter, SignalFilter};

const NAME_LENGTH: usize = 8;

/// Makes and reads the tokens of one list with one filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor([u8; NAME_LENGTH]);

impl Cursor {
    pub(super) fn clients() -> Self {
        Self::named("clients", &[])
    }

    pub(super) fn principals() -> Self {
        Self::named("principals", &[])
    }

    pub(super) fn revocations(filter: &RevocationFilter) -> Self {
        let target = filter.target.as_ref().map(ToString::to_string);
        Self::named("revocations", &[target, filter.include_undone.then(String::new)])
    }

    pub(super) fn refusals() -> Self {
        Self::named("refusals", &[])
    }

    pub(super) fn signals(filter: &SignalFilter) -> Self {
        let subject = filter.subject.as_ref().map(ToString::to_string);
        let cleared = filter.include_cleared.then(String::new);
        Self::named("signals", &[subject, filter.kind.clone(), cleared])
    }

    pub(super) fn records(filter: &RecordFilter) -> Self {
        Self::named(
            "decisions",
            &[
                filter.principal.clone(),
                filter.resource.clone(),
                filter.effect.map(|effect| effect.as_str().to_owned()),
                filter.reason.map(|reason| reason.as_str().to_owned()),
                filter.pep.as_ref().map(ToString::to_string),
                filter.from.map(|from| from.micros().to_string()),
                filter.until.map(|until| until.micros().to_string()),
            ],
        )
    }

    fn named(list: &str, filter: &[Option<String>]) -> Self {
        let mut hash = Sha256::new();
        hash.update(list);
        for part in filter {
            // Presence and length are part of the name, so that no two filters share one.
            match part {
                None => hash.update([0]),
                Some(text) => {
                    hash.update([1]);
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
            }
        }
        let mut name = [0; NAME_LENGTH];
        name.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self(name)
    }

    /// The key that the request's token holds; `None` asks for the first page.
    pub(super) fn key<K: DeserializeOwned>(self, page: &PageRequest) -> Result<Option<K>, StoreError> {
        let Some(token) = &page.after else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| StoreError::InvalidPageToken)?;
        let key = bytes.strip_prefix(&self.0).ok_or(StoreError::InvalidPageToken)?;
        serde_json::from_slice(key).map(Some).map_err(|_| StoreError::InvalidPageToken)
    }

    /// Turns the rows that were found, one more than fit if there are more, into a page.
    pub(super) fn page<K: Serialize, T>(
        self,
        mut rows: Vec<(K, T)>,
        request: &PageRequest,
    ) -> Result<Page<T>, StoreError> {
        let size = usize::try_from(request.size).unwrap_or(usize::MAX);
        let more = rows.len() > size;
        rows.truncate(size);
        let next = match rows.last() {
            Some((key, _)) if more => Some(self.token(key)?),
            _ => None,
        };
        Ok(Page { items: rows.into_iter().map(|(_, item)| item).collect(), next })
    }

    fn token<K: Serialize>(self, key: &K) -> Result<String, StoreError> {
        let mut bytes = self.0.to_vec();
        serde_json::to_writer(&mut bytes, key)
            .map_err(|error| StoreError::Corrupt { what: "page key", why: error.to_string() })?;
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// How many rows to ask for: one more than fit, to know whether there are more.
pub(super) fn limit(page: &PageRequest) -> i64 {
    i64::from(page.size).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(token: Option<String>) -> PageRequest {
        PageRequest { size: 2, after: token }
    }

    #[test]
    fn a_token_leads_back_to_the_last_row_of_its_page() {
        let rows = vec![("a", 1), ("b", 2), ("c", 3)];
        let page = Cursor::clients().page(rows, &after(None)).unwrap();
        assert_eq!(page.items, [1, 2]);
        let key: Option<String> = Cursor::clients().key(&after(page.next)).unwrap();
        assert_eq!(key.as_deref(), Some("b"));
    }

    #[test]
    fn the_last_page_has_no_token() {
        let page = Cursor::clients().page(vec![("a", 1), ("b", 2)], &after(None)).unwrap();
        assert_eq!(page, Page { items: vec![1, 2], next: None });
    }

    #[test]
    fn a_token_of_another_list_or_filter_is_refused() {
        let rows = vec![("a", 1), ("b", 2), ("c", 3)];
        let alice = RecordFilter { principal: Some("alice".into()), ..RecordFilter::default() };
        let resource = RecordFilter { resource: Some("alice".into()), ..RecordFilter::default() };
        let token = Cursor::records(&alice).page(rows, &after(None)).unwrap().next;
        for other in
            [Cursor::clients(), Cursor::records(&resource), Cursor::signals(&SignalFilter::default())]
        {
            let read: Result<Option<String>, _> = other.key(&after(token.clone()));
            assert!(matches!(read, Err(StoreError::InvalidPageToken)));
        }
    }

    #[test]
    fn text_that_is_no_token_is_refused() {
        for bad in ["", "!", "AAAA", "c29tZXRoaW5nIGVsc2UgZW50aXJlbHk"] {
            let read: Result<Option<String>, _> = Cursor::clients().key(&after(Some(bad.into())));
            assert!(matches!(read, Err(StoreError::InvalidPageToken)), "{bad}");
        }
    }
}
