//! A token issuer with a server of its own: it publishes keys over HTTP or HTTPS, behaves well or badly as it is told, and
//! counts who comes.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deodar::identity::{Algorithm, SigningKey};
use deodar::model::{Clock, SystemClock};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// How the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Good,
    /// Takes the request and says nothing for 30 s.
    Slow,
    /// A megabyte.
    Oversized,
    /// `text/html`.
    WrongType,
    /// To a place where the keys would be.
    Redirect,
    /// 500.
    Failing,
    /// JSON, but nothing that was asked for.
    Garbage,
    /// A discovery document about somebody else.
    Foreign,
    /// A discovery document with keys at another origin.
    Elsewhere,
}

/// A test's issuer. Dropped, its server is gone.
pub struct TestIssuer {
    pub address: SocketAddr,
    scheme: &'static str,
    state: Arc<State>,
    serving: Option<JoinHandle<()>>,
    tls: Option<TlsAcceptor>,
}

struct State {
    mode: Mutex<Mode>,
    /// The JWK set that is published.
    keys: Mutex<Value>,
    cache_control: Mutex<Option<String>>,
    /// What introspection says of a token.
    tokens: Mutex<HashMap<String, Value>>,
    requests: Mutex<Vec<Seen>>,
    /// That there is one more.
    came: Notify,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
}

/// A certificate authority for servers on this machine.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// For a server that is reached under this name.
    pub fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

impl TestIssuer {
    /// Over plain HTTP.
    pub async fn start() -> Self {
        Self::with(None).await
    }

    /// Over TLS, where there is an acceptor.
    pub async fn with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            mode: Mutex::new(Mode::Good),
            keys: Mutex::new(json!({ "keys": [] })),
            cache_control: Mutex::default(),
            tokens: Mutex::default(),
            requests: Mutex::default(),
            came: Notify::new(),
        };
        let mut issuer = Self {
            address: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            state: Arc::new(state),
            serving: None,
            tls,
        };
        issuer.serve(listener);
        issuer
    }

    fn serve(&mut self, listener: TcpListener) {
        let (state, tls) = (Arc::clone(&self.state), self.tls.clone());
        let origin = self.issuer();
        self.serving = Some(tokio::spawn(async move {
            // Dropped with the task, and its connections with it.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                connections.spawn(connection(stream, tls.clone(), Arc::clone(&state), origin.clone()));
                while connections.try_join_next().is_some() {}
            }
        }));
    }

    /// Closes the port and all connections.
    pub async fn close(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        let _ = serving.await;
    }

    /// Opens the port again.
    pub async fn reopen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    /// The exact `iss`.
    pub fn issuer(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub fn jwks_url(&self) -> String {
        format!("{}/jwks", self.issuer())
    }

    pub fn set_mode(&self, mode: Mode) {
        *self.state.mode.lock().unwrap() = mode;
    }

    /// The value of `Cache-Control` from now on.
    pub fn set_cache_control(&self, value: &str) {
        *self.state.cache_control.lock().unwrap() = Some(value.to_owned());
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
        *self.state.keys.lock().unwrap() = json!({ "keys": keys });
    }

    /// What introspection says of a token from now on.
    pub fn answer_for(&self, token: &str, answer: Value) {
        self.state.tokens.lock().unwrap().insert(token.to_owned(), answer);
    }

    /// What came to this path.
    pub fn requests(&self, path: &str) -> Vec<Seen> {
        self.state.requests.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// How many requests came to this path.
    pub fn seen(&self, path: &str) -> usize {
        self.requests(path).len()
    }

    pub fn fetches(&self) -> usize {
        self.seen("/jwks")
    }

    /// Waits until the keys have been fetched so often.
    pub async fn until_fetched(&self, times: usize) {
        loop {
            let more = self.state.came.notified();
            if self.fetches() >= times {
                return;
            }
            more.await;
        }
    }

    /// A good token for `subject`, signed with this key, with some claims replaced.
    pub fn token(&self, key: &SigningKey, subject: &str, changes: &Value) -> String {
        let now = SystemClock::new().now().seconds();
        let mut claims = json!({
            "iss": self.issuer(), "sub": subject, "aud": "things", "client_id": "spa",
            "jti": uuid::Uuid::new_v4().to_string(), "iat": now, "exp": now + 300,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let Value::Object(claims) = claims else { unreachable!("made above") };
        key.sign(Map::from_iter([("typ".to_owned(), json!("at+jwt"))]), &claims).unwrap()
    }
}

impl Drop for TestIssuer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

pub fn new_key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).unwrap()
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, state: Arc<State>, origin: String) {
    match tls {
        None => answer_all(stream, state, origin).await,
        Some(tls) => {
            // A peer that does not trust us goes away.
            if let Ok(stream) = tls.accept(stream).await {
                answer_all(stream, state, origin).await;
            }
        }
    }
}

async fn answer_all(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>, origin: String) {
    let service = service_fn(|request| {
        let (state, origin) = (Arc::clone(&state), origin.clone());
        async move { Ok::<_, Infallible>(answer(request, &state, &origin).await) }
    });
    // It ends when the peer goes away.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, state: &State, origin: &str) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    state.requests.lock().unwrap().push(Seen { path: path.clone(), authorization, body: body.clone() });
    state.came.notify_waiters();
    let good = match path.as_str() {
        "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" => {
            Some(json!({ "issuer": origin, "jwks_uri": format!("{origin}/jwks") }))
        }
        "/jwks" | "/moved" => Some(state.keys.lock().unwrap().clone()),
        "/introspect" => Some(introspected(state, &body)),
        _ => None,
    };
    let mode = *state.mode.lock().unwrap();
    let discovery = path.starts_with("/.well-known");
    let json = |value: &Value| response(StatusCode::OK, "application/json", value.to_string());
    let mut answer = match (mode, good) {
        (_, None) => response(StatusCode::NOT_FOUND, "text/plain", String::new()),
        (Mode::Slow, _) => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            response(StatusCode::OK, "application/json", "{}".to_owned())
        }
        (Mode::Oversized, Some(mut good)) => {
            good["padding"] = json!("x".repeat(1_000_000));
            json(&good)
        }
        (Mode::WrongType, Some(good)) => response(StatusCode::OK, "text/html", good.to_string()),
        (Mode::Redirect, _) => {
            let mut moved = response(StatusCode::FOUND, "text/plain", String::new());
            moved.headers_mut().insert("location", "/moved".parse().unwrap());
            moved
        }
        (Mode::Failing, _) => response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "no".to_owned()),
        (Mode::Garbage, _) => json(&json!({ "error": "none of this" })),
        (Mode::Foreign, Some(_)) if discovery => {
            json(&json!({ "issuer": "https://evil.example.com", "jwks_uri": format!("{origin}/jwks") }))
        }
        (Mode::Elsewhere, Some(_)) if discovery => {
            json(&json!({ "issuer": origin, "jwks_uri": "https://evil.example.com/jwks" }))
        }
        (Mode::Good | Mode::Foreign | Mode::Elsewhere, Some(good)) => json(&good),
    };
    if let Some(value) = &*state.cache_control.lock().unwrap() {
        answer.headers_mut().insert("cache-control", value.parse().unwrap());
    }
    answer
}

/// A token that nobody announced is not active.
fn introspected(state: &State, form: &str) -> Value {
    let fields: HashMap<String, String> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let tokens = state.tokens.lock().unwrap();
    tokens.get(&fields["token"]).cloned().unwrap_or_else(|| json!({ "active": false }))
}

fn response(status: StatusCode, kind: &str, body: String) -> Response<Full<Bytes>> {
    Response::builder().status(status).header("content-type", kind).body(Full::from(body)).unwrap()
}
