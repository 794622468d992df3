//! What a DPoP proof costs one decision: all checks of a proof beside a token that is in the cache, by algorithm.
//!
//! Prints medians over rounds. Run with `cargo bench --bench proofs`.

#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use deodar::identity::{Algorithm, Config, Identity, IssuerConfig, Presented, SigningKey, Target};
use deodar::model::{Credential, Secret, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

const ROUNDS: usize = 15;
const PROOFS: usize = 200;
const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// Signs a token or a proof.
fn sign(key: &SigningKey, header: Value, claims: &Value) -> Result<String, Box<dyn Error>> {
    let Value::Object(header) = header else { return Err("a header is an object".into()) };
    let claims: Map<String, Value> = claims.as_object().cloned().ok_or("claims are an object")?;
    Ok(key.sign(header, &claims)?)
}

fn proof(key: &SigningKey, token: &str, number: usize) -> Result<String, Box<dyn Error>> {
    let mut jwk = key.public_jwk();
    let members = jwk.as_object_mut().ok_or("a key is an object")?;
    ["kid", "alg", "use"].into_iter().for_each(|name| drop(members.shift_remove(name)));
    let claims = json!({
        "jti": format!("{number:022}"), "htm": "GET", "htu": "https://api.example.com/orders/7",
        "iat": NOW.seconds(), "ath": BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(token)),
    });
    sign(key, json!({ "typ": "dpop+jwt", "jwk": jwk }), &claims)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// Microseconds for one proof, the median of the rounds.
fn measure(algorithm: Algorithm, issuer_key: &SigningKey) -> Result<f64, Box<dyn Error>> {
    let mut issuer = IssuerConfig::new("corp".parse()?, "https://issuer", vec!["orders".into()]);
    issuer.jwks = Some(issuer_key.public_jwks());
    let identity = Identity::new(&Config { issuers: vec![issuer], ..Config::default() }, Path::new("/"))?;
    let key = SigningKey::generate(algorithm)?;
    let now = NOW.seconds();
    let claims = json!({
        "iss": "https://issuer", "sub": "alice", "aud": "orders", "client_id": "spa", "jti": "1", "iat": now,
        "exp": now + 300, "cnf": { "jkt": key.kid() },
    });
    let token = sign(issuer_key, json!({ "typ": "at+jwt" }), &claims)?;
    let target = Target::at_host("GET", true, "api.example.com", "/orders/7?a=b")?;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let credentials = (0..PROOFS).map(|number| {
            let proof = Secret::new(proof(&key, &token, round * PROOFS + number)?);
            Ok(Credential::Dpop { token: Secret::new(token.as_str()), proof })
        });
        let credentials: Vec<Credential> = credentials.collect::<Result<_, Box<dyn Error>>>()?;
        let mut refused = 0_usize;
        let took = timed(|| {
            for credential in &credentials {
                let beside = Presented { target: Some(&target), ..Presented::alone(black_box(credential)) };
                let answer = identity.examine_for(&beside, NOW);
                refused += usize::from(answer.is_err());
            }
        });
        if refused > 0 {
            return Err(format!("{refused} good {algorithm} proofs were refused").into());
        }
        rounds.push(took.as_secs_f64() * 1e6 / PROOFS as f64);
    }
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().ok_or_else(|| "no rounds".into())
}

fn main() -> Result<(), Box<dyn Error>> {
    let issuer_key = SigningKey::generate(Algorithm::EdDsa)?;
    println!("algorithm   us per proof");
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es384, Algorithm::Ps256] {
        println!("{:<11} {:>12.1}", algorithm.as_str(), measure(algorithm, &issuer_key)?);
    }
    Ok(())
}
