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
use crate::model::{EndpointId, EntityRef, PrincipalId, PrincipalKind, Rates, Subject, Timestamp};
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
        let keys = self.keys(call);
        // Each lookup waits for memory; so all are under way before the first call is counted.
        let found = keys.map(|key| key.and_then(|key| self.table.find(key, &moment)));
        let mut found = found.into_iter();
        let [principal, principal_endpoint, network] = keys.map(|key| {
            let found = found.next().flatten();
            key.map(|key| self.table.count(key, &moment, found)).unwrap_or_default()
        });
        Rates { principal, principal_endpoint, network }
    }

    /// Under which keys a call counts: of the principal, of the principal at the endpoint, of the network.
    fn keys(&self, call: &Counted<'_>) -> [Option<NonZeroU64>; 3] {
        let mut keys = [None; 3];
        let [of_principal, at_endpoint, of_network] = &mut keys;
        if let Some(principal) = &call.principal {
            let mut hasher = self.hashes.build_hasher();
            principal.feed(&mut hasher);
            *of_principal = Some(key(&hasher));
            *at_endpoint = call.endpoint.as_ref().map(|endpoint| {
                endpoint.feed(&mut hasher);
                key(&hasher)
            });
        }
        *of_network = call.prefix.map(|prefix| {
            let mut hasher = self.hashes.build_hasher();
            hasher.write(b"n");
            prefix.hash(&mut hasher);
            key(&hasher)
        });
        keys
    }
}

// What is hashed begins with a letter for its kind, and its texts are parted by a byte that no text contains; so no two
// subjects are written alike. Writes are few, because each one costs more than the bytes in it.

impl CountedPrincipal<'_> {
    fn feed(&self, hasher: &mut DefaultHasher) {
        match self {
            Self::Proven(id) => {
                hasher.write(match id.kind {
                    PrincipalKind::User => b"papi::User\xff".as_slice(),
                    PrincipalKind::Workload => b"papi::Workload\xff",
                    PrincipalKind::Anonymous => b"papi::Anonymous\xff",
                });
                hasher.write(id.id().as_bytes());
            }
            Self::Named(entity) => {
                hasher.write(b"p");
                hasher.write(entity.entity_type.as_bytes());
                hasher.write(b"\xff");
                hasher.write(entity.id.as_bytes());
            }
        }
    }
}

impl CountedEndpoint<'_> {
    fn feed(&self, hasher: &mut DefaultHasher) {
        match self {
            Self::Call(endpoint) => {
                hasher.write(b"\xffc");
                hasher.write(endpoint.as_str().as_bytes());
            }
            Self::Question { action, resource_type } => {
                hasher.write(b"\xffq");
                hasher.write(action.entity_type.as_bytes());
                hasher.write(b"\xff");
                hasher.write(action.id.as_bytes());
                hasher.write(b"\xff");
                hasher.write(resource_type.as_bytes());
            }
        }
    }
}

/// Zero marks a free place in the table.
fn key(hasher: &DefaultHasher) -> NonZeroU64 {
    NonZeroU64::new(hasher.finish()).unwrap_or(NonZeroU64::MIN)
}
