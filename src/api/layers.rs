//! What stands in front of every RPC: nobody gets past without a key or a certificate of a client whose role reaches the
//! RPC.
//!
//! It is one layer around all services, so that a new RPC is closed until somebody puts it into the table of roles. A plain
//! `Check` does not come by here: `front` asks the same gate.
//! Health and reflection are open: a load balancer has no key.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::peer::Peer;
use super::status;
use crate::decide::{CallerRefusal, Gate, Shown};
use crate::model::{Client, Timestamp};

/// Services that need no key.
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The authenticated caller of an RPC, among the request's extensions.
#[derive(Clone, Debug)]
pub struct Caller {
    pub client: Arc<Client>,
    /// When the certificate expires that it is known by; `None`: it showed its key.
    pub until: Option<Timestamp>,
}

/// The caller that this layer let in. Without one nobody gets further: a server without the layer is closed.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Arc<Client>, Status> {
    let caller = request.extensions().get::<Caller>();
    caller
        .map(|caller| Arc::clone(&caller.client))
        .ok_or_else(|| status::caller_refused(&CallerRefusal::Missing, "this RPC"))
}

/// See [`Caller::until`].
pub fn known_until<T>(request: &tonic::Request<T>) -> Option<Timestamp> {
    request.extensions().get::<Caller>().and_then(|caller| caller.until)
}

/// Puts [`Authenticated`] around a service.
#[derive(Clone)]
pub struct AuthenticateCallers {
    gate: Gate,
}

impl AuthenticateCallers {
    pub fn new(gate: Gate) -> Self {
        Self { gate }
    }

    /// The caller, or `None` for what is open to everyone.
    fn check<B>(&self, request: &Request<B>) -> Result<Option<Caller>, CallerRefusal> {
        let rpc = request.uri().path();
        if OPEN.iter().any(|open| rpc.starts_with(open)) {
            return Ok(None);
        }
        let peer = request.extensions().get::<Peer>();
        let shown = shown(request.headers(), peer);
        let host = || peer.map_or_else(|| Peer::default().host(), Peer::host);
        let client = self.gate.authorize(shown, rpc, host)?;
        Ok(Some(Caller { client, until: known_by_certificate(shown) }))
    }
}

/// What a call and its connection show of the caller.
pub(super) fn shown<'a>(headers: &'a HeaderMap, peer: Option<&'a Peer>) -> Shown<'a> {
    Shown { key: client_key(headers), certificate: peer.and_then(Peer::certificate) }
}

/// When it ends that the caller is known: a certificate expires, a key does not.
pub(super) fn known_by_certificate(shown: Shown<'_>) -> Option<Timestamp> {
    let certificate = shown.certificate.filter(|_| shown.key.is_none());
    certificate.map(|certificate| certificate.expires_at)
}

/// The key in `authorization: Bearer <key>`; `None` when there is no such header. Whatever else is there is an empty key,
/// which is nobody's: a call that shows something wrong is not let in by its certificate.
fn client_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let first = values.next()?;
    let text = first.to_str().ok().filter(|_| values.next().is_none());
    let key = text.and_then(|text| text.split_once(' '));
    Some(key.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, key)| key))
}

impl<S> Layer<S> for AuthenticateCallers {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, layer: self.clone() }
    }
}

/// A service that only authenticated callers reach.
#[derive(Clone)]
pub struct Authenticated<S> {
    inner: S,
    layer: AuthenticateCallers,
}

impl<S, B> Service<Request<B>> for Authenticated<S>
where
    S: Service<Request<B>, Response = Response<Body>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.layer.check(&request) {
            Ok(caller) => {
                if let Some(caller) = caller {
                    request.extensions_mut().insert(caller);
                }
                Box::pin(self.inner.call(request))
            }
            Err(refusal) => {
                let response = status::caller_refused(&refusal, request.uri().path()).into_http();
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}
