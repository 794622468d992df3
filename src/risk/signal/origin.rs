//! Origin: the call comes from where the caller has not been.

use super::{DEVICE, Family, PREFIX, PRINCIPAL, SESSION, SignalKind, TOKEN, hours, points};
use crate::model::SignalLife;

const WHO: &[&str] = &[PRINCIPAL, SESSION, TOKEN];

pub(super) const KINDS: &[SignalKind] = &[
    points(
        Family::Origin,
        "new_network",
        3.0,
        hours(12),
        WHO,
        "A network that this caller has not used before",
    ),
    points(
        Family::Origin,
        "new_device",
        3.0,
        hours(24),
        WHO,
        "A device that this caller has not used before",
    ),
    points(
        Family::Origin,
        "impossible_travel",
        3.0,
        hours(12),
        WHO,
        "Two places in less time than anybody could travel between them",
    ),
    // The cap belongs to five lists or more: a reporter says strength (1 + 0.5 x lists) / 3.5.
    points(
        Family::Origin,
        "bad_ip",
        3.5,
        SignalLife::UntilCleared,
        &[PREFIX, PRINCIPAL, SESSION, TOKEN, DEVICE],
        "An address that threat lists name",
    ),
];
