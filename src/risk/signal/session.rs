//! Session: one session or token in two hands. Deterministic, so neither capped by family nor relieved.

use super::{Family, SESSION, SignalKind, TOKEN, points};
use crate::model::SignalLife;

pub(super) const KINDS: &[SignalKind] = &[points(
    Family::Session,
    "token_replay",
    6.5,
    SignalLife::UntilCleared,
    &[SESSION, TOKEN],
    "The same token or session in two places at once",
)];
