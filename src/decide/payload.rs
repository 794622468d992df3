//! The digest of a question: what was asked, without keeping it.

use sha2::{Digest, Sha256};

use crate::model::{ApiCall, CedarQuestion, EntityRef, Question};

/// SHA-256 over a canonical form of the question: two records with the same digest asked the same.
///
/// Every part is preceded by its length, so that moving a byte from one part to the next changes the digest.
/// Credentials are not part of it, wherever they stand.
pub(super) fn digest(question: &Question) -> [u8; 32] {
    let mut hash = Canonical(Sha256::new());
    match question {
        Question::Call(call) => hash.call(call),
        Question::Cedar(cedar) => hash.cedar(cedar),
        Question::Unreadable(_) => hash.part(b"unreadable"),
    }
    hash.0.finalize().into()
}

/// Headers that hold credentials; a digest of one could be tried against guesses.
const CREDENTIAL_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "dpop"];

struct Canonical(Sha256);

impl Canonical {
    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn call(&mut self, call: &ApiCall) {
        self.part(b"call");
        for text in [&call.method, &call.host, &call.path] {
            self.part(text.as_bytes());
        }
        self.part(&[u8::from(call.secure)]);
        let headers = || call.headers.iter().filter(|(name, _)| !CREDENTIAL_HEADERS.contains(&name.as_str()));
        self.count(headers().count());
        for (name, value) in headers() {
            self.part(name.as_bytes());
            self.part(value.as_bytes());
        }
        self.count(call.metadata.len());
        for (name, values) in &call.metadata {
            self.part(name.as_bytes());
            self.count(values.len());
            values.iter().for_each(|value| self.part(value.as_bytes()));
        }
    }

    fn cedar(&mut self, question: &CedarQuestion) {
        self.part(b"cedar");
        self.part(question.domain.as_str().as_bytes());
        self.count(usize::from(question.principal.is_some()));
        question.principal.iter().for_each(|principal| self.entity(principal));
        self.entity(&question.action);
        self.entity(&question.resource);
        self.count(question.entities.len());
        for entity in &question.entities {
            self.part(entity.to_string().as_bytes());
        }
        self.count(question.context.len());
        for (name, value) in &question.context {
            self.part(name.as_bytes());
            self.part(value.to_string().as_bytes());
        }
    }

    fn entity(&mut self, entity: &EntityRef) {
        self.part(entity.entity_type.as_bytes());
        self.part(entity.id.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> Question {
        Question::Call(ApiCall { method: method.into(), path: path.into(), ..ApiCall::default() })
    }

    #[test]
    fn the_digest_tells_questions_apart() {
        assert_eq!(digest(&call("GET", "/a")), digest(&call("GET", "/a")));
        assert_ne!(digest(&call("GET", "/a")), digest(&call("GET", "/b")));
        assert_ne!(digest(&call("GET", "/a")), digest(&call("GET/", "a")));
    }
}
