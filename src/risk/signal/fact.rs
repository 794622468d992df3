//! Hard facts: revoked, disabled, lost. They raise flags that stay until somebody clears them, and have no points.

use super::{DEVICE, Effect, Fade, Family, Flag, PRINCIPAL, SESSION, SignalKind, TOKEN};
use crate::model::SignalLife;

const ACCOUNT: &str = "account";

pub(super) const KINDS: &[SignalKind] = &[
    fact(
        "session_revoked",
        Effect::Raises(Flag::SessionRevoked),
        &[SESSION],
        None,
        "The session was revoked",
    ),
    fact("token_revoked", Effect::Raises(Flag::TokenRevoked), &[TOKEN], None, "The token was revoked"),
    fact(
        "account_disabled",
        Effect::Raises(Flag::AccountDisabled),
        &[PRINCIPAL],
        Some(ACCOUNT),
        "The account was disabled",
    ),
    // RISC `account-enabled`: lifts what the same reporter said before.
    fact(
        "account_enabled",
        Effect::Points { cap: 0.0 },
        &[PRINCIPAL],
        Some(ACCOUNT),
        "The account was enabled again",
    ),
    fact("device_lost", Effect::Raises(Flag::DeviceLost), &[DEVICE], None, "The device was reported lost"),
];

const fn fact(
    code: &'static str,
    effect: Effect,
    subjects: &'static [&'static str],
    topic: Option<&'static str>,
    text: &'static str,
) -> SignalKind {
    SignalKind {
        code,
        family: Family::Fact,
        effect,
        life: SignalLife::UntilCleared,
        fade: Fade::Halving,
        subjects,
        topic,
        text,
    }
}
