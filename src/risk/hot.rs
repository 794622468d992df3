//! The live signals by subject, read without locks on every decision.
//!
//! One follower of the change feed writes; any number of decisions read. Signals that come in order leave the same
//! state however often they come. Where they are kept for good is left to `store`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use papaya::{HashMap, Operation};

use super::assess;
use super::check::{self, SignalFault};
use super::config::{Config, ConfigFault, Freshness};
use super::explain::Explained;
use super::score::Place;
use super::signal::{kind, kinds};
use super::subject::{FLOOR, Held, Ledger};
use crate::model::{NewSignal, Principal, Risk, Signal, SignalId, SignalLife, Subject, Timestamp};

/// What became of a signal that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Recorded,
    /// It was held already and has a new state now.
    Refreshed,
    Cleared,
    /// Nothing to do: it was held just so, or was not held and is cleared.
    Unchanged,
    /// This version does not know the kind, so it cannot weigh it.
    UnknownKind,
}

/// The subjects of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub principal: Option<Subject>,
    pub session: Option<Subject>,
    /// The token by its `jti`.
    pub token: Option<Subject>,
    /// The token by the digest of the whole of it.
    pub token_digest: Option<Subject>,
    pub device: Option<Subject>,
    pub prefix: Option<Subject>,
}

impl About {
    /// The subjects that a principal has by its credential, made once; what the call comes from is its caller's to add.
    ///
    /// Anonymous callers have none: they share one name and nothing else.
    pub fn principal(principal: &Principal) -> Arc<Self> {
        principal.subjects.get_or_prepare(0, || Self::of_principal(principal))
    }

    fn of_principal(principal: &Principal) -> Self {
        if principal.is_anonymous() {
            return Self::default();
        }
        let token = principal.token.as_ref();
        let session = token.and_then(|token| Some((token.issuer.clone(), token.session_id.clone()?)));
        let named = token.and_then(|token| Some((token.issuer.clone(), token.token_id.clone()?)));
        Self {
            principal: Some(Subject::Principal(principal.id.clone())),
            session: session.map(|(issuer, id)| Subject::Session { issuer, id }),
            token: named.map(|(issuer, id)| Subject::Token { issuer, id }),
            token_digest: token.map(|token| Subject::TokenDigest(token.sha256)),
            device: None,
            prefix: None,
        }
    }

    fn subjects(&self) -> impl Iterator<Item = (Place, &Subject)> {
        [
            (Place::Own, &self.principal),
            (Place::Own, &self.session),
            (Place::Own, &self.token),
            (Place::Own, &self.token_digest),
            (Place::Device, &self.device),
            (Place::Prefix, &self.prefix),
        ]
        .into_iter()
        .filter_map(|(place, subject)| subject.as_ref().map(|subject| (place, subject)))
    }
}

/// Every live signal, by subject.
#[derive(Debug)]
pub struct Signals {
    config: Config,
    by_subject: ArcSwap<HashMap<Subject, Ledger>>,
}

impl Signals {
    pub fn new(config: Config) -> Result<Self, ConfigFault> {
        config.check()?;
        Ok(Self { config, by_subject: ArcSwap::default() })
    }

    /// Takes in the state of one signal. Of one signal, the state applied last holds: apply in the order of the feed.
    pub fn apply(&self, signal: &Signal) -> Applied {
        if signal.cleared.is_some() {
            return self.remove(&signal.subject, signal.id);
        }
        let Some(held) = Held::new(signal, &self.config) else { return Applied::UnknownKind };
        let bound = self.config.max_signals_per_subject;
        let mut applied = Applied::Recorded;
        self.by_subject.load().pin().compute(signal.subject.clone(), |entry| {
            let ledger = entry.map(|(_, ledger)| ledger);
            applied = match ledger.and_then(|ledger| ledger.get(signal.id)) {
                Some(known) if *known.signal == *signal => Applied::Unchanged,
                Some(_) => Applied::Refreshed,
                None => Applied::Recorded,
            };
            if applied == Applied::Unchanged {
                return Operation::Abort(());
            }
            Operation::Insert(ledger.cloned().unwrap_or_default().with(held.clone(), bound))
        });
        applied
    }

    fn remove(&self, subject: &Subject, id: SignalId) -> Applied {
        let mut applied = Applied::Unchanged;
        self.by_subject.load().pin().compute(subject.clone(), |entry| {
            applied = Applied::Unchanged;
            let Some((_, ledger)) = entry.filter(|(_, ledger)| ledger.get(id).is_some()) else {
                return Operation::Abort(());
            };
            applied = Applied::Cleared;
            let rest = ledger.without(id);
            if rest.is_empty() { Operation::Remove } else { Operation::Insert(rest) }
        });
        applied
    }

    /// Puts these signals in the place of everything held, at once for every reader. Returns how many are held now.
    ///
    /// What is applied while this runs may be lost: one follower does both.
    pub fn replace_all(&self, signals: Vec<Signal>) -> usize {
        let mut grouped: std::collections::HashMap<Subject, Vec<Held>> = std::collections::HashMap::new();
        for signal in signals.into_iter().filter(|signal| signal.cleared.is_none()) {
            if let Some(held) = Held::new(&signal, &self.config) {
                grouped.entry(signal.subject).or_default().push(held);
            }
        }
        let bound = self.config.max_signals_per_subject;
        let ledgers = grouped.into_iter().map(|(subject, held)| (subject, Ledger::of(held, bound)));
        self.by_subject.store(Arc::new(ledgers.collect()));
        self.len()
    }

    /// The risk of one call at one moment, by all that it is about.
    pub fn assess<'a>(
        &self,
        about: impl IntoIterator<Item = &'a About>,
        now: Timestamp,
        freshness: Freshness,
    ) -> Risk {
        let map = self.by_subject.load();
        let map = map.pin();
        let subjects = about.into_iter().flat_map(About::subjects);
        let ledgers = subjects.filter_map(|(place, subject)| Some((place, map.get(subject)?)));
        assess::assess(ledgers, now, freshness)
    }

    /// The same risk with its arithmetic.
    pub fn explain(&self, about: &About, now: Timestamp, freshness: Freshness) -> Explained {
        let map = self.by_subject.load();
        let map = map.pin();
        let ledgers = about.subjects().filter_map(|(place, subject)| Some((place, map.get(subject)?)));
        assess::explain(ledgers, now, freshness)
    }

    /// Drops what can never count again; returns how many signals went. Readers need it for nothing, memory does.
    pub fn prune(&self, now: Timestamp) -> usize {
        let before = self.len();
        let map = self.by_subject.load();
        let map = map.pin();
        for (subject, ledger) in map.iter() {
            if ledger.pruned(now).len() == ledger.len() {
                continue;
            }
            map.compute(subject.clone(), |entry| match entry.map(|(_, ledger)| ledger.pruned(now)) {
                None => Operation::Abort(()),
                Some(rest) if rest.is_empty() => Operation::Remove,
                Some(rest) => Operation::Insert(rest),
            });
        }
        before.saturating_sub(self.len())
    }

    /// How many signals are held.
    pub fn len(&self) -> usize {
        self.by_subject.load().pin().values().map(Ledger::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How far back a signal that fades can still count: a first load needs no older ones.
    pub fn live_window(&self) -> Duration {
        let caps = kinds().filter_map(|kind| self.config.cap(kind)).map(f64::abs);
        let halvings = (caps.fold(FLOOR, f64::max) / FLOOR).log2();
        self.config.max_half_life.mul_f64(halvings.max(1.0))
    }

    /// Whether a reported signal may be recorded.
    pub fn check(&self, signal: &NewSignal, now: Timestamp) -> Result<(), SignalFault> {
        check::check(signal, now, self.config.max_half_life)
    }

    /// How long a signal of this kind counts when its reporter does not say; `None` for an unknown kind.
    pub fn default_life(&self, code: &str) -> Option<SignalLife> {
        kind(code).map(|kind| self.config.life(kind))
    }

    /// What an age of the signals means here.
    pub fn freshness(&self, age: Duration) -> Freshness {
        self.config.freshness(age)
    }
}

#[cfg(test)]
mod tests;
