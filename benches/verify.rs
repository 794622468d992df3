//! What believing a token costs: verified anew by algorithm, and from the cache.
//!
//! A whole verification: taking the token apart, every check, reading the claims. Prints medians over rounds in
//! microseconds. Run with `cargo bench --bench verify`.

#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use deodar::identity::{
    Algorithm, CacheConfig, Config, Identity, IssuerConfig, MacAlgorithm, SharedKeyConfig, SigningKey,
};
use deodar::model::{Credential, Secret, Timestamp};
use serde_json::{Map, Value, json};

const ROUNDS: usize = 31;
const VERIFIED: usize = 300;
const CACHED: usize = 20_000;
const NOW: i64 = 1_800_000_000;
const SECRET: [u8; 32] = [0x5c; 32];

fn claims() -> Map<String, Value> {
    let claims = json!({
        "iss": "https://login.example.com", "sub": "0198c5a0-7b3c-7000-8000-000000000001", "aud": "https://api.example.com",
        "client_id": "spa", "jti": "0198c5a0-7b3c-7000-8000-00000000abcd", "iat": NOW, "exp": NOW + 900,
        "scope": "orders:read orders:write", "roles": ["clerk", "auditor"], "sid": "s-1", "acr": "urn:mfa",
    });
    match claims {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn issuer() -> Result<IssuerConfig, Box<dyn Error>> {
    let audiences = vec!["https://api.example.com".to_owned()];
    let mut issuer = IssuerConfig::new("corp".parse()?, "https://login.example.com", audiences);
    issuer.algorithms = Algorithm::ALL.to_vec();
    Ok(issuer)
}

fn identity(issuer: IssuerConfig, cached: bool, folder: &Path) -> Result<Identity, Box<dyn Error>> {
    let max_tokens = if cached { 1_000 } else { 0 };
    let cache = CacheConfig { max_tokens, ..CacheConfig::default() };
    Ok(Identity::new(&Config { issuers: vec![issuer], cache, ..Config::default() }, folder)?)
}

/// A name, the issuer's settings, and a token of it.
struct Case {
    name: &'static str,
    issuer: IssuerConfig,
    token: String,
}

fn public(algorithm: Algorithm) -> Result<Case, Box<dyn Error>> {
    let key = SigningKey::generate(algorithm)?;
    let mut issuer = issuer()?;
    issuer.jwks = Some(key.public_jwks());
    let header = Map::from_iter([("typ".to_owned(), json!("at+jwt"))]);
    Ok(Case { name: algorithm.as_str(), issuer, token: key.sign(header, &claims())? })
}

fn shared(folder: &Path) -> Result<Case, Box<dyn Error>> {
    fs::write(folder.join("secret"), BASE64.encode(SECRET))?;
    let mut issuer = issuer()?;
    issuer.algorithms.clear();
    issuer.shared_key = Some(SharedKeyConfig { algorithm: MacAlgorithm::Hs256, file: "secret".into() });
    let header = json!({ "alg": "HS256", "typ": "at+jwt" }).to_string();
    let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(Value::Object(claims()).to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), signed.as_bytes());
    Ok(Case { name: "HS256", issuer, token: format!("{signed}.{}", BASE64.encode(tag)) })
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn timed(calls: usize, mut work: impl FnMut()) -> Duration {
    let started = Instant::now();
    (0..calls).for_each(|_| work());
    started.elapsed()
}

/// The median time of one call, in microseconds.
fn measure(identity: &Identity, token: &str, calls: usize) -> Result<f64, Box<dyn Error>> {
    let credential = Credential::Bearer(Secret::new(token));
    let now = Timestamp::from_seconds(NOW);
    identity.authenticate(&credential, now)?;
    let call = || drop(black_box(identity.authenticate(black_box(&credential), now)));
    let mut rounds: Vec<Duration> = (0..ROUNDS).map(|_| timed(calls, call)).collect();
    rounds.sort_unstable();
    let median = rounds.get(ROUNDS / 2).ok_or("no rounds")?;
    Ok(median.as_secs_f64() * 1e6 / calls as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let algorithms = [
        Algorithm::EdDsa,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Rs256,
        Algorithm::Rs512,
        Algorithm::Ps256,
    ];
    let mut cases = algorithms.into_iter().map(public).collect::<Result<Vec<_>, _>>()?;
    cases.push(shared(folder.path())?);
    println!("algorithm  token bytes  verified µs  cached µs");
    for Case { name, issuer, token } in cases {
        let verified = measure(&identity(issuer.clone(), false, folder.path())?, &token, VERIFIED)?;
        let cached = measure(&identity(issuer, true, folder.path())?, &token, CACHED)?;
        println!("{name:9}  {:11}  {verified:11.1}  {cached:9.2}", token.len());
    }
    Ok(())
}
