//! Volume: more calls than this caller, or this endpoint, normally sees.

use super::{DEVICE, Family, PREFIX, PRINCIPAL, SESSION, SignalKind, TOKEN, hours, minutes, points};

const WHO: &[&str] = &[PRINCIPAL, SESSION, TOKEN, DEVICE, PREFIX];

pub(super) const KINDS: &[SignalKind] = &[
    points(Family::Volume, "rate_surge", 3.5, minutes(10), WHO, "Many more calls than normal at this time"),
    points(Family::Volume, "ramp", 2.0, hours(24), WHO, "A number of calls that has been growing for days"),
];
