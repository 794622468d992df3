//! Risk: what a request by certain subjects would be judged as, were it made now.

use super::{ManageError, Management};
use crate::model::{Revision, Risk, Subject};
use crate::risk::About;

impl Management {
    /// The risk of one request by these subjects, at most one of each kind.
    pub fn get_risk(&self, subjects: Vec<Subject>) -> Result<(Risk, Revision), ManageError> {
        if subjects.is_empty() {
            return Err(ManageError::invalid("subjects", "give at least one subject"));
        }
        let mut about = About::default();
        for subject in subjects {
            let place = match &subject {
                Subject::Principal(_) => &mut about.principal,
                Subject::Session { .. } => &mut about.session,
                Subject::Token { .. } => &mut about.token,
                Subject::TokenDigest(_) => &mut about.token_digest,
                Subject::Device { .. } => &mut about.device,
                Subject::Prefix(_) => &mut about.prefix,
            };
            if let Some(other) = place.replace(subject) {
                let why = format!("`{other}` is not the only {} named; one request has one", other.kind());
                return Err(ManageError::invalid("subjects", why));
            }
        }
        let revision = self.live.revision();
        let now = self.clock.now();
        Ok((self.live.signals.assess([&about], now, self.live.freshness()), revision))
    }
}
