//! Signals -> score, calls -> rates: how much the subjects of a call are to be trusted at one moment.
//!
//! Pure given state and time: nothing here reads a clock, a file or the network, so the same signals always give the
//! same score. Signals are kept by `store` and fed in from outside; what a score leads to is left to `policy`.

mod assess;
mod check;
mod config;
mod explain;
mod hot;
mod rate;
mod score;
mod signal;
mod subject;

pub use check::SignalFault;
pub use config::{Config, ConfigFault, Freshness, HalfLife, KindOverride};
pub use explain::{Contribution, Explained, Standing};
pub use hot::{About, Applied, Signals};
pub use rate::{Counted, CountedEndpoint, CountedPrincipal, RateCounters};
pub use signal::{Effect, Fade, Family, Flag, SignalKind, kind, kinds};
