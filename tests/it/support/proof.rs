//! DPoP proofs and the tokens that go with them: good ones, and any part of them spoilt.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use deodar::api::pb::decision as pb;
use deodar::app::dev_issuer::{DevIssuer, MintRequest};
use deodar::identity::{Algorithm, SigningKey};
use deodar::model::{Clock, SystemClock, TokenKind};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A client with a key.
pub struct Prover {
    pub key: SigningKey,
}

impl Prover {
    pub fn new(algorithm: Algorithm) -> Self {
        Self { key: SigningKey::generate(algorithm).unwrap() }
    }

    /// The `cnf` of a token that is bound to the key.
    pub fn confirmation(&self) -> Value {
        json!({ "jkt": self.key.kid() })
    }

    /// The public key, without what says how to use it.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.key.public_jwk();
        for member in ["kid", "alg", "use"] {
            jwk.as_object_mut().unwrap().shift_remove(member);
        }
        jwk
    }

    /// A good proof for one call with this token, to be spoilt or signed.
    pub fn draft(&self, method: &str, uri: &str, token: &str) -> Draft<'_> {
        let header = json!({ "typ": "dpop+jwt", "alg": self.key.algorithm().as_str(), "jwk": self.jwk() });
        let claims = json!({
            "jti": uuid::Uuid::new_v4().to_string(), "htm": method, "htu": uri, "iat": seconds_from_now(0),
            "ath": token_hash(token),
        });
        Draft { prover: self, header, claims }
    }

    /// The proof itself.
    pub fn proof(&self, method: &str, uri: &str, token: &str) -> String {
        self.draft(method, uri, token).sign()
    }
}

/// A proof that is not signed yet.
#[derive(Clone)]
pub struct Draft<'a> {
    prover: &'a Prover,
    header: Value,
    claims: Value,
}

impl Draft<'_> {
    /// Sets a member of the header; `null` removes it.
    pub fn header(mut self, name: &str, value: Value) -> Self {
        set(&mut self.header, name, value);
        self
    }

    /// Sets a claim; `null` removes it.
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        set(&mut self.claims, name, value);
        self
    }

    pub fn sign(self) -> String {
        let key = &self.prover.key;
        self.sign_with(key)
    }

    /// Signed with another key than the header says.
    pub fn sign_with(self, key: &SigningKey) -> String {
        key.sign_text(&self.header.to_string(), &self.claims.to_string()).unwrap()
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.shift_remove(name);
    } else {
        members.insert(name.to_owned(), value);
    }
}

pub fn seconds_from_now(seconds: i64) -> i64 {
    SystemClock::new().now().seconds() + seconds
}

/// `ath`: the hash of a token.
pub fn token_hash(token: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token))
}

/// A token of the development issuer for `alice`, with these claims besides.
pub fn token_with(data_dir: &Path, claims: Value) -> String {
    let mut request = MintRequest::new(TokenKind::User, "alice", SystemClock::new().now());
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    request.extra = Map::from_iter(claims);
    DevIssuer::open(data_dir).unwrap().mint(&request).unwrap().expose().to_owned()
}

/// What a gateway passes on of `Authorization: DPoP <token>` and the DPoP header beside it.
pub fn dpop(token: &str, proof: &str) -> pb::Credential {
    let authorization = format!("DPoP {token}");
    pb::Credential {
        kind: Some(pb::credential::Kind::Authorization(authorization)),
        dpop_proof: proof.to_owned(),
        ..pb::Credential::default()
    }
}

/// The same of `Authorization: Bearer <token>`.
pub fn bearer(token: &str, proof: &str) -> pb::Credential {
    let authorization = format!("Bearer {token}");
    pb::Credential {
        kind: Some(pb::credential::Kind::Authorization(authorization)),
        dpop_proof: proof.to_owned(),
        ..pb::Credential::default()
    }
}
