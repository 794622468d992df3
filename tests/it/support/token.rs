//! Tokens of the development issuer, good ones and spoilt ones.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use deodar::app::dev_issuer::{DevIssuer, MintRequest};
use deodar::identity::{Algorithm, SigningKey};
use deodar::model::{Clock, SystemClock, TokenKind};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What a token of a case should say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    pub subject: String,
    #[serde(default)]
    pub roles: Vec<String>,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub issued_ago_s: u64,
    #[serde(default = "quarter_of_an_hour")]
    pub lifetime_s: u64,
    pub audience: Option<String>,
    pub session: Option<String>,
    pub acr: Option<String>,
    pub auth_ago_s: Option<u64>,
    /// A client acting for itself.
    #[serde(default)]
    pub workload: bool,
    /// The claim `act`.
    pub act: Option<Value>,
    pub spoil: Option<Spoil>,
}

const fn quarter_of_an_hour() -> u64 {
    900
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoil {
    /// Another payload under the old signature.
    Payload,
    /// `alg: none` and no signature.
    AlgNone,
    /// `typ: JWT`.
    Type,
    /// An issuer that nobody configured.
    Issuer,
}

impl TokenSpec {
    /// Mints the token with the key in the server's data directory.
    pub fn mint(&self, data_dir: &Path) -> String {
        let now = SystemClock::new().now();
        let kind = if self.workload { TokenKind::Client } else { TokenKind::User };
        let issued_at = now.minus(Duration::from_secs(self.issued_ago_s));
        let mut request = MintRequest::new(kind, self.subject.clone(), issued_at);
        request.roles.clone_from(&self.roles);
        request.scopes.clone_from(&self.scopes);
        request.lifetime = Duration::from_secs(self.lifetime_s);
        request.session.clone_from(&self.session);
        request.acr.clone_from(&self.acr);
        request.auth_time = self.auth_ago_s.map(|ago| now.minus(Duration::from_secs(ago)));
        if let Some(audience) = &self.audience {
            request.audience = vec![audience.clone()];
        }
        if let Some(act) = &self.act {
            request.extra.insert("act".into(), act.clone());
        }
        if let Some(Spoil::Issuer) = self.spoil {
            request.extra.insert("iss".into(), json!("https://stranger.example.com"));
        }
        let good = DevIssuer::open(data_dir).unwrap().mint(&request).unwrap().expose().to_owned();
        self.spoil.map_or(good.clone(), |spoil| spoil.apply(&good, data_dir))
    }
}

impl Spoil {
    fn apply(self, token: &str, data_dir: &Path) -> String {
        let parts: Vec<&str> = token.split('.').collect();
        let claims: Map<String, Value> =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        match self {
            Self::Issuer => token.to_owned(),
            Self::Payload => {
                let mut claims = claims;
                claims.insert("roles".into(), json!(["manager"]));
                let payload = BASE64_URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
                format!("{}.{payload}.{}", parts[0], parts[2])
            }
            Self::AlgNone => {
                let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
                format!("{header}.{}.AA", parts[1])
            }
            Self::Type => {
                let der = fs::read(data_dir.join("dev-issuer.pk8")).unwrap();
                let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &der).unwrap();
                let header = Map::from_iter([("typ".to_owned(), json!("JWT"))]);
                key.sign(header, &claims).unwrap()
            }
        }
    }
}
