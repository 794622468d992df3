//! What one call presents, taken together: a credential, the client's certificate, and what a proof must be about.

use super::target::Target;
use crate::model::{ClientCertificate, Credential};

/// What is to be judged in one go, because each part may need another.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    pub credential: &'a Credential,
    /// That whoever passed it on may do so is the caller's check.
    pub certificate: &'a ClientCertificate,
    /// The request that a proof must be about; without one no proof is good.
    pub target: Option<&'a Target<'a>>,
}

impl<'a> Presented<'a> {
    /// A credential by itself.
    pub const fn alone(credential: &'a Credential) -> Self {
        Self { credential, certificate: &ClientCertificate::None, target: None }
    }
}
