//! A real OpenID provider, `tests/oidc/provider.mjs`, as a process of its own, and a client of its endpoints.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

use super::app::repository;
use super::certificate::byte_sequence;
use super::proof::{Prover, token_hash};

const VARIABLE: &str = "DEODAR_TEST_OIDC";
/// A resource whose tokens are JWTs for the audience `things`.
pub const THINGS: &str = "https://things.example.com/";
/// The same audience, with opaque tokens.
pub const THINGS_OPAQUE: &str = "https://things.example.com/opaque";
/// One whose tokens are JWTs for the audience `others`.
pub const OTHERS: &str = "https://others.example.com/";
/// The same audience, with opaque tokens.
pub const OTHERS_OPAQUE: &str = "https://others.example.com/opaque";
/// Where users come back to the shop with a code. Nobody goes there.
const BACK: &str = "https://shop.example.com/back";

/// A running provider. Killed when dropped.
pub struct OpenIdProvider {
    /// The exact `iss`.
    pub issuer: String,
    /// Of its clients, by their ids.
    secrets: Value,
    /// What it says of itself.
    metadata: Value,
    http: reqwest::Client,
    control: Mutex<Control>,
    _process: Child,
}

/// What its token endpoint answers.
pub struct Granted {
    pub token: String,
    /// `token_type`.
    pub kind: String,
    /// Where a user logged in.
    pub id_token: Option<String>,
}

/// Its input and output: one line back for each line.
struct Control {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Control {
    async fn read(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(60), self.output.next_line()).await;
        let line = line.expect("the provider says nothing").unwrap();
        serde_json::from_str(&line.expect("the provider ended; what it said is above")).unwrap()
    }

    async fn tell(&mut self, command: &Value) -> Value {
        self.input.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        self.read().await
    }
}

impl OpenIdProvider {
    pub async fn start() -> Self {
        let folder = packages();
        let mut process = Command::new(Path::new(&folder).join("node_modules/.bin/node"))
            .arg(repository().join("tests/oidc/provider.mjs"))
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut control = Control { input: process.stdin.take().unwrap(), output };
        let ready = control.read().await;
        let issuer = ready["issuer"].as_str().unwrap().to_owned();
        let http = plain_client();
        let metadata = http.get(format!("{issuer}/.well-known/openid-configuration")).send().await.unwrap();
        let metadata = serde_json::from_str(&metadata.text().await.unwrap()).unwrap();
        let secrets = ready["secrets"].clone();
        Self { issuer, secrets, metadata, http, control: Mutex::new(control), _process: process }
    }

    /// The URL of an endpoint, by its name in the discovery document.
    pub fn endpoint(&self, name: &str) -> &str {
        self.metadata[name].as_str().unwrap()
    }

    pub fn secret(&self, client: &str) -> &str {
        self.secrets[client].as_str().unwrap()
    }

    /// A request of one of its clients.
    fn post(&self, endpoint: &str, client: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.http.post(self.endpoint(endpoint));
        request.basic_auth(client, Some(self.secret(client))).form(form)
    }

    /// A token that a client asks for in its own name; an empty resource is none.
    async fn grant(&self, client: &str, resource: &str, header: Option<(&str, String)>) -> Granted {
        let mut form = vec![("grant_type", "client_credentials"), ("scope", "things:read")];
        if !resource.is_empty() {
            form.push(("resource", resource));
        }
        let mut request = self.post("token_endpoint", client, &form);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        granted(request).await
    }

    /// A bearer token.
    pub async fn token(&self, resource: &str) -> String {
        let granted = self.grant("robot", resource, None).await;
        assert_eq!(granted.kind, "Bearer");
        granted.token
    }

    /// Logs a user in at the shop.
    pub async fn log_in(&self, user: &str, resource: &str) -> Granted {
        const VERIFIER: &str = "a-text-that-is-as-long-as-rfc-7636-wants-it-to-be";
        let challenge = token_hash(VERIFIER);
        let parameters = [
            ("client_id", "shop"),
            ("response_type", "code"),
            ("scope", "openid things:read"),
            ("resource", resource),
            ("redirect_uri", BACK),
            ("login_hint", user),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let begin = url::Url::parse_with_params(self.endpoint("authorization_endpoint"), parameters).unwrap();
        let back = self.follow(begin).await;
        let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
            ("resource", resource),
        ];
        granted(self.post("token_endpoint", "shop", &form)).await
    }

    /// Goes where it is sent, as a browser does with its cookies, until that is the shop.
    async fn follow(&self, mut url: url::Url) -> url::Url {
        let mut cookies = BTreeMap::new();
        while !url.as_str().starts_with(BACK) {
            let sent = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
            let answer = self.http.get(url.clone()).header("cookie", sent.join("; ")).send().await.unwrap();
            for set in answer.headers().get_all("set-cookie") {
                let (name, value) = set.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
                cookies.insert(name.to_owned(), value.to_owned());
            }
            let to = answer.headers().get("location").expect("the provider sends us nowhere");
            url = url.join(to.to_str().unwrap()).unwrap();
        }
        url
    }

    /// Takes an opaque token back (RFC 7009).
    pub async fn revoke(&self, token: &str) {
        let answer = self.post("revocation_endpoint", "robot", &[("token", token)]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// A token that is bound to a key (RFC 9449).
    pub async fn token_for_key(&self, prover: &Prover, resource: &str) -> String {
        let endpoint = self.endpoint("token_endpoint");
        let proof = prover.draft("POST", endpoint, "").claim("ath", Value::Null).sign();
        let granted = self.grant("robot", resource, Some(("dpop", proof))).await;
        assert_eq!(granted.kind, "DPoP");
        granted.token
    }

    /// A token that is bound to a certificate (RFC 8705).
    pub async fn token_for_certificate(&self, der: &[u8], resource: &str) -> String {
        let header = ("client-cert", byte_sequence(der));
        self.grant("certified", resource, Some(header)).await.token
    }

    /// Publishes a new key beside the others and returns its `kid`.
    pub async fn add_key(&self, algorithm: &str) -> String {
        let state = self.change(&json!({ "add": algorithm })).await;
        state["published"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
    }

    /// Signs with this key from now on.
    pub async fn sign_with(&self, kid: &str) {
        self.change(&json!({ "sign": kid })).await;
    }

    /// Publishes this key no longer.
    pub async fn drop_key(&self, kid: &str) {
        self.change(&json!({ "drop": kid })).await;
    }

    async fn change(&self, command: &Value) -> Value {
        self.control.lock().await.tell(command).await
    }
}

async fn granted(request: reqwest::RequestBuilder) -> Granted {
    let answer = request.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    let token = text("access_token").unwrap_or_else(|| panic!("the provider says {answer}"));
    Granted { token, kind: text("token_type").unwrap(), id_token: text("id_token") }
}

/// The provider is on this machine and speaks plain HTTP; a client wants to know nevertheless whom it would trust.
fn plain_client() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let builder = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
    builder.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "scripts/test says where the packages are")]
fn packages() -> String {
    std::env::var(VARIABLE)
        .unwrap_or_else(|_| panic!("{VARIABLE} is not set: run ./scripts/test, which installs the provider"))
}
