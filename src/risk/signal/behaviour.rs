//! Behaviour: the caller does what neither it nor its peers usually do.

use super::{Family, PRINCIPAL, SESSION, SignalKind, TOKEN, hours, minutes, points};

const WHO: &[&str] = &[PRINCIPAL, SESSION, TOKEN];

pub(super) const KINDS: &[SignalKind] = &[
    points(
        Family::Behaviour,
        "novel_behaviour",
        4.0,
        minutes(30),
        WHO,
        "Calls that neither this caller nor its peers usually make",
    ),
    points(
        Family::Behaviour,
        "sequence_break",
        2.0,
        minutes(30),
        WHO,
        "A sensitive call without the calls that normally come before it",
    ),
    points(
        Family::Behaviour,
        "off_hours",
        1.0,
        hours(2),
        WHO,
        "Activity at hours at which this person is normally away",
    ),
];
