//! One value for each few threads, so that none waits for another, or for a cache line that another writes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A power of two. With more threads than that, some share a value: slower, and no less right.
const STRIPES: usize = 16;

#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe<T>(T);

/// A value in stripes. A thread stays with its own; only who wants the whole looks at all of them.
#[derive(Debug, Default)]
pub struct Striped<T> {
    stripes: [Stripe<T>; STRIPES],
}

impl<T> Striped<T> {
    /// That of this thread.
    pub fn own(&self) -> &T {
        let [first, ..] = &self.stripes;
        let Stripe(own) = self.stripes.get(stripe_of_thread() % STRIPES).unwrap_or(first);
        own
    }

    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.stripes.iter().map(|Stripe(value)| value)
    }
}

/// The threads are dealt out one after the other.
fn stripe_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    OWN.with(|own| *own)
}
