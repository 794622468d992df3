//! Why a call cannot be located: a reason for the decision, and a detail for operators.
//!
//! Details name positions and rules, never the text of the request, because they are kept in the record unmasked.

use crate::model::{Reason, RequestFault};

/// A call that is refused before any endpoint was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryRefusal {
    /// Always [`Reason::RequestInvalid`].
    pub reason: Reason,
    /// For operators: what was wrong and where, without the caller's text.
    pub detail: String,
}

impl InventoryRefusal {
    pub(super) fn path_unsafe(detail: impl Into<String>) -> Self {
        Self::new(RequestFault::PathUnsafe, detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(RequestFault::TooLarge, detail)
    }

    pub(super) fn ambiguous(detail: impl Into<String>) -> Self {
        Self::new(RequestFault::Ambiguous, detail)
    }

    fn new(fault: RequestFault, detail: impl Into<String>) -> Self {
        Self { reason: Reason::RequestInvalid(fault), detail: detail.into() }
    }
}
