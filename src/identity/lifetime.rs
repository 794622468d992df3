//! When a token counts: `iat`, `nbf` and `exp` with the issuer's leeway, judged against a given moment.
//!
//! The verifier and the cache ask the same method, so a cached token is refused at exactly the moment at which a
//! fresh verification would refuse it.

use std::time::Duration;

use super::refusal::IdentityRefusal;
use crate::model::{CredentialFault, Timestamp};

/// The span of time in which one token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub issued_at: Timestamp,
    pub not_before: Option<Timestamp>,
    pub expires_at: Timestamp,
    /// How far the issuer's clock and ours may disagree.
    pub leeway: Duration,
    /// The longest time since `issued_at`.
    pub max_age: Duration,
}

impl Lifetime {
    /// Refuses what is over (RFC 7519 section 4.1.4: on or after `exp`), not yet begun, or issued in the future.
    pub fn check(&self, now: Timestamp) -> Result<(), IdentityRefusal> {
        if now >= self.expires_at.plus(self.leeway) {
            let detail = format!("expired at {}", self.expires_at);
            return Err(IdentityRefusal::new(CredentialFault::Expired, detail));
        }
        if now >= self.issued_at.plus(self.max_age).plus(self.leeway) {
            let detail = format!("older than {} s, issued at {}", self.max_age.as_secs(), self.issued_at);
            return Err(IdentityRefusal::new(CredentialFault::Expired, detail));
        }
        let latest = now.plus(self.leeway);
        if let Some(not_before) = self.not_before.filter(|begin| *begin > latest) {
            let detail = format!("valid from {not_before} on");
            return Err(IdentityRefusal::new(CredentialFault::NotYetValid, detail));
        }
        if self.issued_at > latest {
            let detail = format!("issued in the future, at {}", self.issued_at);
            return Err(IdentityRefusal::new(CredentialFault::NotYetValid, detail));
        }
        Ok(())
    }

    /// The first moment at which it is over for good.
    pub fn end(&self) -> Timestamp {
        self.expires_at.min(self.issued_at.plus(self.max_age)).plus(self.leeway)
    }

    /// Refuses a token that lives longer than `max`, or that ends before it begins.
    pub fn check_length(&self, max: Duration) -> Result<(), IdentityRefusal> {
        if self.expires_at <= self.issued_at {
            return Err(IdentityRefusal::malformed("`exp` is not after `iat`"));
        }
        let length = self.expires_at.since(self.issued_at);
        if length > max {
            let detail = format!("lives {} s, the issuer may give {} s", length.as_secs(), max.as_secs());
            return Err(IdentityRefusal::new(CredentialFault::TooLongLived, detail));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reason;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn lifetime() -> Lifetime {
        Lifetime {
            issued_at: at(1_000),
            not_before: Some(at(1_010)),
            expires_at: at(1_100),
            leeway: Duration::from_secs(5),
            max_age: Duration::from_secs(1_000),
        }
    }

    fn fault(now: Timestamp) -> Option<Reason> {
        lifetime().check(now).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn leeway_widens_both_ends_and_the_end_itself_is_outside() {
        let expired = Some(Reason::CredentialInvalid(CredentialFault::Expired));
        let early = Some(Reason::CredentialInvalid(CredentialFault::NotYetValid));
        assert_eq!([fault(at(1_004)), fault(at(1_005)), fault(at(1_104))], [early, None, None]);
        assert_eq!(fault(Timestamp::from_micros(at(1_105).micros() - 1)), None);
        assert_eq!([fault(at(1_105)), fault(at(9_999))], [expired, expired]);
    }

    #[test]
    fn an_old_token_is_over_before_its_end() {
        let old = Lifetime { max_age: Duration::from_secs(50), ..lifetime() };
        let fault = |now| old.check(now).err().map(|refusal| refusal.reason);
        let expired = Some(Reason::CredentialInvalid(CredentialFault::Expired));
        assert_eq!([fault(at(1_054)), fault(at(1_055)), fault(at(1_090))], [None, expired, expired]);
        assert_eq!([old.end(), lifetime().end()], [at(1_055), at(1_105)]);
    }

    #[test]
    fn the_longest_lifetime_is_allowed_and_one_second_more_is_not() {
        assert!(lifetime().check_length(Duration::from_secs(100)).is_ok());
        let refusal = lifetime().check_length(Duration::from_secs(99)).unwrap_err();
        assert_eq!(refusal.reason, Reason::CredentialInvalid(CredentialFault::TooLongLived));
    }
}
