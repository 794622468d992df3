//! Nonces for proofs (RFC 9449 section 9): they show that a proof was made lately, and for this process.
//!
//! Nothing is kept: a nonce is the code of the present span of time under a key that the process made for itself, so
//! it says when it was given out and nobody else can make one. The span before counts too, so that a nonce lives for
//! one to two spans.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;

use super::json::encode_base64url;
use crate::model::Timestamp;

const BYTES: usize = 16;

/// Gives out nonces and knows them again.
pub(super) struct Nonces {
    key: hmac::Key,
    span: Duration,
}

impl Nonces {
    /// With a fresh key; `None` when the operating system gives no random bytes.
    pub(super) fn new(span: Duration) -> Option<Self> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).ok()?;
        Some(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), span: span.max(Duration::from_secs(1)) })
    }

    /// The nonce of this moment.
    pub(super) fn current(&self, now: Timestamp) -> String {
        self.of_span(self.number(now))
    }

    /// Whether the nonce was given out lately.
    pub(super) fn knows(&self, nonce: &str, now: Timestamp) -> bool {
        let number = self.number(now);
        // A comparison that ends early tells nothing here: what it compares with is given to everybody who asks.
        [number, number.saturating_sub(1)].into_iter().any(|number| self.of_span(number) == nonce)
    }

    fn number(&self, now: Timestamp) -> i64 {
        let span = i64::try_from(self.span.as_micros()).unwrap_or(i64::MAX);
        now.micros().div_euclid(span)
    }

    fn of_span(&self, number: i64) -> String {
        let tag = hmac::sign(&self.key, &number.to_be_bytes());
        encode_base64url(tag.as_ref().get(..BYTES).unwrap_or_default())
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonces({:?}, ..)", self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(300);

    #[test]
    fn a_nonce_lives_for_one_to_two_spans() {
        let nonces = Nonces::new(SPAN).unwrap();
        let at = Timestamp::from_seconds(3_000);
        let nonce = nonces.current(at);
        assert_eq!(nonce.len(), 22);
        for (later, known) in [(0, true), (299, true), (599, true), (600, false), (9_000, false)] {
            assert_eq!(nonces.knows(&nonce, at.plus(Duration::from_secs(later))), known, "{later}");
        }
        assert!(!nonces.knows(&nonce, at.minus(Duration::from_secs(1))), "not yet given out");
    }

    #[test]
    fn nobody_elses_nonce_is_known() {
        let (ours, theirs) = (Nonces::new(SPAN).unwrap(), Nonces::new(SPAN).unwrap());
        let now = Timestamp::from_seconds(1);
        for nonce in [theirs.current(now), String::new(), "A".repeat(22), format!("{}A", ours.current(now))] {
            assert!(!ours.knows(&nonce, now), "{nonce}");
        }
        assert!(!format!("{ours:?}").contains("key"));
    }
}
