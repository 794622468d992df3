//! Who must have signed a token: an issuer that is configured, or the trust domain of the workload that it names.

use super::claims::Known;
use super::compact::Compact;
use super::issuer::Issuer;
use super::jwt_svid::{self, Named};
use super::refusal::IdentityRefusal;

#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    Issuer(&'a Issuer),
    TrustDomain(Named<'a>),
}

impl<'a> Signer<'a> {
    /// The rules that the token is held to.
    pub(super) const fn rules(self) -> &'a Issuer {
        match self {
            Self::Issuer(issuer) => issuer,
            Self::TrustDomain(workload) => &workload.domain.rules,
        }
    }

    pub(super) fn check_header(self, token: &Compact<'_>) -> Result<(), IdentityRefusal> {
        match self {
            Self::Issuer(_) => Ok(()),
            Self::TrustDomain(_) => jwt_svid::check_header(token),
        }
    }

    /// The principal under the name that is its own.
    pub(super) fn name(self, read: Known) -> Result<Known, IdentityRefusal> {
        match self {
            Self::Issuer(_) => Ok(read),
            Self::TrustDomain(workload) => {
                Ok(Known { principal: workload.rename(read.principal)?, dropped: read.dropped })
            }
        }
    }
}
