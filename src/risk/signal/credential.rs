//! Credential: somebody tries to become somebody else.

use super::{DEVICE, Family, PREFIX, PRINCIPAL, SESSION, SignalKind, hours, minutes, points};

pub(super) const KINDS: &[SignalKind] = &[
    points(
        Family::Credential,
        "failure_burst",
        3.0,
        minutes(30),
        &[PRINCIPAL, DEVICE, PREFIX],
        "A burst of failed authentications",
    ),
    points(
        Family::Credential,
        "spray_source",
        4.0,
        hours(1),
        &[DEVICE, PREFIX],
        "Failed authentications of many principals from one place",
    ),
    points(
        Family::Credential,
        "fail_then_success",
        3.5,
        hours(4),
        &[PRINCIPAL, SESSION, DEVICE, PREFIX],
        "A success that followed a burst of failed authentications",
    ),
];
