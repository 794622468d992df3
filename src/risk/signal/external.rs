//! External: what identity providers and device management say (CAEP `risk-level-change`, `device-compliance-change`).
//!
//! A level stands until the reporter says another; the kinds of one topic replace each other.

use super::{DEVICE, Effect, Fade, Family, PRINCIPAL, SESSION, SignalKind};
use crate::model::SignalLife;

const RISK: &str = "idp_risk";
const COMPLIANCE: &str = "device_compliance";

pub(super) const KINDS: &[SignalKind] = &[
    stated(
        "idp_risk_low",
        -1.0,
        RISK,
        &[PRINCIPAL, SESSION, DEVICE],
        "The identity provider says that the risk is low",
    ),
    stated(
        "idp_risk_medium",
        4.0,
        RISK,
        &[PRINCIPAL, SESSION, DEVICE],
        "The identity provider says that the risk is medium",
    ),
    stated(
        "idp_risk_high",
        5.5,
        RISK,
        &[PRINCIPAL, SESSION, DEVICE],
        "The identity provider says that the risk is high",
    ),
    stated(
        "device_not_compliant",
        3.0,
        COMPLIANCE,
        &[DEVICE, SESSION, PRINCIPAL],
        "The device does not comply with its owner's rules",
    ),
    stated("device_compliant", 0.0, COMPLIANCE, &[DEVICE, SESSION, PRINCIPAL], "The device complies again"),
];

const fn stated(
    code: &'static str,
    cap: f64,
    topic: &'static str,
    subjects: &'static [&'static str],
    text: &'static str,
) -> SignalKind {
    SignalKind {
        code,
        family: Family::External,
        effect: Effect::Points { cap },
        life: SignalLife::UntilCleared,
        fade: Fade::Halving,
        subjects,
        topic: Some(topic),
        text,
    }
}
