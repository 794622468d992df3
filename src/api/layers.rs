//! What stands in front of every RPC: nobody gets past without a key and a role that reaches the RPC.
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
use crate::decide::{CallerRefusal, Gate};
use crate::model::Client;

/// Services that need no key.
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The authenticated caller of an RPC, among the request's extensions.
#[derive(Clone, Debug)]
pub struct Caller(pub Arc<Client>);

/// The caller that this layer let in. Without one nobody gets further: a server without the layer is closed.
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Arc<Client>, Status> {
    let caller = request.extensions().get::<Caller>();
    caller
        .map(|caller| Arc::clone(&caller.0))
        .ok_or_else(|| status::caller_refused(&CallerRefusal::Missing, "this RPC"))
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
    fn check<B>(&self, request: &Request<B>) -> Result<Option<Arc<Client>>, CallerRefusal> {
        let rpc = request.uri().path();
        if OPEN.iter().any(|open| rpc.starts_with(open)) {
            return Ok(None);
        }
        self.gate.authorize(client_key(request.headers()), rpc, || peer(request)).map(Some)
    }
}

/// Where a call came from.
fn peer<B>(request: &Request<B>) -> String {
    request.extensions().get::<Peer>().cloned().unwrap_or_default().host()
}

/// The key in `authorization: Bearer <key>`; `None` when there is no such header, more than one, or another scheme.
pub(super) fn client_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
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
                if let Some(client) = caller {
                    request.extensions_mut().insert(Caller(client));
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
