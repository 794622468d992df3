//! Object: the calls are ordinary, the things they name are not the caller's.

use super::{DEVICE, Family, PREFIX, PRINCIPAL, SESSION, SignalKind, TOKEN, hours, points};

const WHO: &[&str] = &[PRINCIPAL, SESSION, TOKEN, DEVICE, PREFIX];

pub(super) const KINDS: &[SignalKind] = &[
    points(Family::Object, "enumeration", 4.0, hours(1), WHO, "Many objects read one after the other"),
    points(Family::Object, "foreign_owner", 3.0, hours(1), WHO, "Objects that belong to others"),
];
