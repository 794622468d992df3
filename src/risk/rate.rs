//! Calls -> rates: how often principals and networks called in the last second, minute and hour.
//!
//! Counting takes no lock, and memory is bounded. Pure but for its own counts: the time is an argument. What a rate
//! leads to is left to `policy`.
//!
//! How exact a rate is:
//!
//! - It never says less than the calls of the window. It counts whole slices, so it may also hold calls that are older
//!   than the window by up to one slice: an eighth of the second, a tenth of the minute and of the hour.
//! - A clock that is set back by up to a window changes nothing: the numbers stay those of the latest moment seen.
//!   One that is set back further lets the window begin anew, as a restart does.
//! - Past the bound of subjects, the least recently counted of eight is forgotten and begins again from nothing.
//!   A caller cannot choose which: places follow from a hash that is keyed afresh in every process.
//! - Two subjects of the same 64-bit hash count as one; for the default bound the odds of any such pair are below one
//!   in 500 million.

mod table;
#[cfg(test)]
mod tests;
mod window;

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::num::NonZeroU64;

use super::config::Config;
use crate::model::{EndpointId, EntityRef, PrincipalId, Rates, Subject, Timestamp};
use table::Table;
use window::Moment;

/// Whose call it is. A principal that a question names has the rate of the same principal proven by a credential.
#[derive(Clone, Copy, Debug)]
pub enum CountedPrincipal<'a> {
    Proven(&'a PrincipalId),
    /// By a caller that may assert principals.
    Named(&'a EntityRef),
}

/// What is called.
#[derive(Clone, Copy, Debug)]
pub enum CountedEndpoint<'a> {
    Call(&'a EndpointId),
    /// A Cedar question is counted by its action and the type of its resource: resources are without number.
    Question {
        action: &'a EntityRef,
        resource_type: &'a str,
    },
}

/// One call, as far as it is known. What is absent is not counted, and has a rate of zero.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted<'a> {
    /// Absent for anonymous callers: they share one name, and one could use up what is allowed to all.
    pub principal: Option<CountedPrincipal<'a>>,
    pub endpoint: Option<CountedEndpoint<'a>>,
    pub prefix: Option<&'a Subject>,
}

/// The calls of this replica, by principal, by principal and endpoint, and by network.
#[derive(Debug)]
pub struct RateCounters {
    hashes: RandomState,
    table: Table,
}

impl RateCounters {
    pub fn new(config: &Config) -> Self {
        Self { hashes: RandomState::new(), table: Table::new(config.max_rate_subjects) }
    }

    /// Counts one call and tells the rates, this call included.
    pub fn count(&self, call: &Counted<'_>, now: Timestamp) -> Rates {
        let moment = Moment::new(now);
        let mut rates = Rates::default();
        if let Some(principal) = &call.principal {
            let mut hasher = self.hasher(b'p');
            principal.feed(&mut hasher);
            rates.principal = self.table.count(key(&hasher), &moment);
            if let Some(endpoint) = &call.endpoint {
                endpoint.feed(&mut hasher);
                rates.principal_endpoint = self.table.count(key(&hasher), &moment);
            }
        }
        if let Some(prefix) = call.prefix {
            let mut hasher = self.hasher(b'n');
            prefix.hash(&mut hasher);
            rates.network = self.table.count(key(&hasher), &moment);
        }
        rates
    }

    fn hasher(&self, kind: u8) -> DefaultHasher {
        let mut hasher = self.hashes.build_hasher();
        hasher.write_u8(kind);
        hasher
    }
}

impl CountedPrincipal<'_> {
    fn feed(&self, hasher: &mut DefaultHasher) {
        match self {
            Self::Proven(id) => {
                hasher.write(b"api::");
                feed_text(hasher, id.kind.as_str());
                feed_text(hasher, id.id());
            }
            Self::Named(entity) => {
                feed_text(hasher, &entity.entity_type);
                feed_text(hasher, &entity.id);
            }
        }
    }
}

impl CountedEndpoint<'_> {
    fn feed(&self, hasher: &mut DefaultHasher) {
        match self {
            Self::Call(endpoint) => {
                hasher.write_u8(b'c');
                feed_text(hasher, endpoint.as_str());
            }
            Self::Question { action, resource_type } => {
                hasher.write_u8(b'q');
                feed_text(hasher, &action.entity_type);
                feed_text(hasher, &action.id);
                feed_text(hasher, resource_type);
            }
        }
    }
}

/// Ends with a byte that no text contains, so that no two lists of texts read alike.
fn feed_text(hasher: &mut DefaultHasher, text: &str) {
    hasher.write(text.as_bytes());
    hasher.write_u8(0xff);
}

/// Zero marks a free place in the table.
fn key(hasher: &DefaultHasher) -> NonZeroU64 {
    NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN)
}
