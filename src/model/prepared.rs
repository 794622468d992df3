//! What another room made ready from a value, kept beside the value for as long as it lives.
//!
//! A principal or an endpoint is asked about many times and each time in the same words. Its room of origin knows
//! nothing of those words, so the slot is opaque: what is in it and what it means is for whoever fills it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// How many generations are kept: the live one, one in shadow, and those of other domains or just replaced.
const KEPT: usize = 4;

type Entry = (u64, Arc<dyn Any + Send + Sync>);

/// A slot for prepared values, one for each generation of whatever they were prepared for.
///
/// A clone starts empty and all slots are equal: a value is what it says, not what was made of it.
// INVARIANT: whoever holds the slot does not change once it is shared; what was prepared would speak of the past.
#[derive(Default)]
pub struct Prepared(ArcSwapOption<Vec<Entry>>);

impl Prepared {
    /// What was prepared for a generation; if nothing was, it is made now and kept.
    ///
    /// Two threads may both make it; both results are the same and one is kept.
    pub fn get_or_prepare<T: Any + Send + Sync>(
        &self,
        generation: u64,
        prepare: impl FnOnce() -> T,
    ) -> Arc<T> {
        let kept = self.0.load();
        let entries = kept.as_deref().map(Vec::as_slice).unwrap_or_default();
        let found = entries.iter().find(|(made_for, _)| *made_for == generation);
        if let Some(Ok(value)) = found.map(|(_, value)| Arc::clone(value).downcast::<T>()) {
            return value;
        }
        let value = Arc::new(prepare());
        let others = entries.iter().filter(|(made_for, _)| *made_for != generation).take(KEPT - 1);
        let newest: Entry = (generation, Arc::clone(&value) as Arc<dyn Any + Send + Sync>);
        self.0.store(Some(Arc::new([newest].into_iter().chain(others.cloned()).collect())));
        value
    }
}

impl Clone for Prepared {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Prepared {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Prepared {}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_prepared_once_for_each_generation() {
        let slot = Prepared::default();
        assert_eq!(*slot.get_or_prepare(1, || "one"), "one");
        assert_eq!(*slot.get_or_prepare(1, || "again"), "one");
        assert_eq!(*slot.get_or_prepare(2, || "two"), "two");
        assert_eq!(*slot.get_or_prepare(1, || "again"), "one");
    }

    #[test]
    fn old_generations_are_forgotten() {
        let slot = Prepared::default();
        (0..100_u64)
            .for_each(|generation| assert_eq!(*slot.get_or_prepare(generation, || generation), generation));
        assert_eq!(slot.0.load().as_ref().map(|entries| entries.len()), Some(KEPT));
        assert_eq!(*slot.get_or_prepare(0, || 7_u64), 7);
    }

    #[test]
    fn a_clone_has_nothing_prepared() {
        let slot = Prepared::default();
        slot.get_or_prepare(1, || 1_u8);
        let copy = slot.clone();
        assert_eq!((*copy.get_or_prepare(1, || 2_u8), *slot.get_or_prepare(1, || 3_u8)), (2, 1));
    }
}
