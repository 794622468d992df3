//! Egress: more data leaves than normal.

use super::{DEVICE, Family, PREFIX, PRINCIPAL, SESSION, SignalKind, TOKEN, hours, points};

pub(super) const KINDS: &[SignalKind] = &[points(
    Family::Egress,
    "egress_volume",
    4.0,
    hours(6),
    &[PRINCIPAL, SESSION, TOKEN, DEVICE, PREFIX],
    "Much more data leaving than normal",
)];
