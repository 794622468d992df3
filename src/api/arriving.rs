//! Notes when a call of the decision API arrives, before it waits for its turn.
//!
//! A call is parsed as soon as its bytes are read and gets here when the thread comes to it. What waits in between is the
//! queue of an overloaded server; so the call counts from the moment that its connection tells. A single question that
//! comes too late is answered here, before its message is decoded: what refusing costs decides how much load a server can
//! bear.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::Either;
use futures::stream;
use http::{Request, Response, header};
use tonic::body::Body;
use tonic::codec::{Codec, EncodeBody, SingleMessageCompressionOverride};
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::server::NamedService;
use tonic_prost::ProstCodec;
use tower::Service;

use super::layers::Caller;
use super::native::CHECK;
use super::pb::decision as pb;
use super::peer::Peer;
use super::wire;
use crate::decide::Decider;
use crate::model::Decision;

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
    type Future = Either<Ready<Result<S::Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let extensions = request.extensions();
        let arrival = self.decider.arrive(extensions.get::<Peer>().and_then(Peer::received));
        if arrival.overloaded
            && request.uri().path() == CHECK
            && let Some(Caller(client)) = extensions.get::<Caller>()
        {
            return Either::Left(ready(Ok(answer(self.decider.refuse(client, CHECK)))));
        }
        request.extensions_mut().insert(Arc::new(arrival));
        Either::Right(self.inner.call(request))
    }
}

/// The answer to one question, as its handler would send it.
fn answer(decision: Decision) -> Response<Body> {
    let message = pb::CheckResponse { decision: Some(wire::decision(decision)) };
    let encoder = ProstCodec::<pb::CheckResponse, pb::CheckRequest>::default().encoder();
    let messages = stream::once(ready(Ok(message)));
    let whole = SingleMessageCompressionOverride::default();
    let mut response = Response::new(Body::new(EncodeBody::new_server(encoder, messages, None, whole, None)));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}
