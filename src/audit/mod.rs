//! Every decision leaves a record.
//!
//! A decision reserves its place before anything is decided ([`Recorder::reserve`]) and fills it when it is known, so
//! that there is never an answer without a record. It is masked and encoded before it is queued; [`Writer`] stores in
//! the background. Calls that are refused before they become a decision are only counted, so that nobody can
//! fill the trail of others.

mod config;
mod mask;
mod pile;
mod places;
pub mod reader;
mod record;
mod recorder;
mod refusals;
mod writer;

pub use config::{Config, WhenFull};
pub use mask::{LARGEST_RECORD, Mask, MaskConfig};
pub use pile::Written;
pub use record::{VERSION, decode, encode};
pub use recorder::{Full, Recorder, Slot, Stats, Stopped};
pub use refusals::RefusalKind;
pub use writer::Writer;

use crate::store::StoreError;

/// What can go wrong when records are read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// Bytes that this version did not write, or that were changed.
    #[error("an audit record cannot be read: {0}")]
    Unreadable(&'static str),
    #[error("the audit records cannot be reached")]
    Store(#[from] StoreError),
}
