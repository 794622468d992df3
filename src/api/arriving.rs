//! Notes when a call of the decision API arrives, before it waits for its turn.
//!
//! A call is parsed as soon as its bytes are read and gets here when the thread comes to it. What waits in between is the
//! queue of an overloaded server; so the call counts from the moment that its connection tells.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::peer::Peer;
use crate::decide::Decider;

/// A service whose calls take a place on arrival; the handler finds it as an `Arc<Arrival>` among the extensions.
#[derive(Clone)]
pub struct Arriving<S> {
    inner: S,
    decider: Arc<Decider>,
}

impl<S> Arriving<S> {
    pub fn new(inner: S, decider: Arc<Decider>) -> Self {
        Self { inner, decider }
    }
}

impl<S: NamedService> NamedService for Arriving<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, B> Service<Request<B>> for Arriving<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let arrival = self.decider.arrive(request.extensions().get::<Peer>().and_then(Peer::waited));
        request.extensions_mut().insert(Arc::new(arrival));
        self.inner.call(request)
    }
}
