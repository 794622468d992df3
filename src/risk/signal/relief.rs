//! Relief: the caller has just proved again who it is. It makes good what was suspected, never what was established
//! (session) or said by others (external).

use super::{Effect, Fade, Family, PRINCIPAL, SESSION, SignalKind, hours};

pub(super) const KINDS: &[SignalKind] = &[SignalKind {
    code: "fresh_step_up",
    family: Family::Relief,
    effect: Effect::Points { cap: -3.0 },
    life: hours(8),
    fade: Fade::Window,
    subjects: &[PRINCIPAL, SESSION],
    topic: None,
    text: "A fresh and stronger authentication",
}];
