//! Probing: somebody tries doors.

use super::{DEVICE, Family, PREFIX, PRINCIPAL, SESSION, SignalKind, TOKEN, hours, minutes, points};

const WHO: &[&str] = &[PRINCIPAL, SESSION, TOKEN, DEVICE, PREFIX];

pub(super) const KINDS: &[SignalKind] = &[
    points(Family::Probing, "deny_burst", 3.5, minutes(30), WHO, "A burst of denied calls"),
    points(Family::Probing, "unknown_endpoints", 3.5, hours(1), WHO, "Calls to endpoints that do not exist"),
    points(
        Family::Probing,
        "privilege_probe",
        4.0,
        hours(4),
        WHO,
        "Denied calls to sensitive endpoints that its peers never call",
    ),
];
