//! What stands behind the decision listener: the calls of its connections.
//!
//! `Check` is nearly all of them, so it goes straight to its handler: the message is framed here, and the connection
//! remembers the client that it let in. Every other call goes through tonic's routes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Ready, ready};
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::Service;
use subtle::ConstantTimeEq;
use tonic::service::Routes;
use tower::Layer;

use super::answer::check_response;
use super::deadline::grpc_timeout;
use super::frame::{self, Body};
use super::layers::{AuthenticateCallers, Authenticated, known_by_certificate, shown};
use super::native::{CHECK, asked, query};
use super::peer::Peer;
use super::{Health, MAX_MESSAGE_BYTES, ReflectionError, decision_routes, status};
use crate::decide::{Arrival, CallerRefusal, Decider, Gate, Queue, Waiting};
use crate::model::{Client, Clock, Timestamp};

/// Answers the calls of the decision listener.
#[derive(Clone)]
pub struct Front {
    gate: Gate,
    decider: Arc<Decider>,
    others: Authenticated<Routes>,
}

impl Front {
    pub fn new(gate: Gate, decider: Arc<Decider>, health: &Health) -> Result<Self, ReflectionError> {
        let routes = decision_routes(&decider, health)?.prepare();
        let others = AuthenticateCallers::new(gate.clone()).layer(routes);
        Ok(Self { gate, decider, others })
    }

    /// The clock by which calls are timed.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.decider.clock()
    }

    /// A queue for one thread.
    pub fn queue(&self, read_ahead: usize) -> Queue {
        Queue::new(read_ahead, self.decider.config())
    }

    /// The calls of one connection.
    pub fn connection(&self, peer: Peer) -> Calls {
        Calls { front: self.clone(), peer, let_in: RefCell::default() }
    }
}

/// The calls of one connection.
pub struct Calls {
    front: Front,
    peer: Peer,
    let_in: RefCell<Option<LetIn>>,
}

/// A client that may call `Check`, and what it showed. Its certificate is that of the connection.
struct LetIn {
    authorization: Option<HeaderValue>,
    /// When the certificate expires that it is known by.
    until: Option<Timestamp>,
    /// Of the clients, when it was let in.
    edition: u64,
    client: Arc<Client>,
}

impl LetIn {
    /// Whether it showed this, or showed nothing as it does now.
    fn showed(&self, authorization: Option<&HeaderValue>) -> bool {
        match (&self.authorization, authorization) {
            (Some(known), Some(shown)) => known.as_bytes().ct_eq(shown.as_bytes()).into(),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

type Answer = Result<Response<Body>, Infallible>;
type Boxed = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A call, from the moment that it was read.
pub enum Called {
    /// Its client may not call.
    Refused(Ready<Answer>),
    /// The thread has not come to it.
    Waits(Option<Box<Turn>>),
    Runs(Boxed),
}

/// A `Check` that waits for its turn.
pub struct Turn {
    decider: Arc<Decider>,
    client: Arc<Client>,
    peer: Peer,
    timeout: Option<Duration>,
    body: Incoming,
    place: Waiting,
}

impl Future for Called {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        if let Self::Waits(turn) = &mut *self
            && let Some(turn) = turn.take()
        {
            *self = Self::Runs(turn.run());
        }
        match &mut *self {
            Self::Refused(refused) => Pin::new(refused).poll(context),
            Self::Runs(call) => call.as_mut().poll(context),
            // It left this state above.
            Self::Waits(_) => Poll::Pending,
        }
    }
}

impl Turn {
    /// The thread has come to it.
    fn run(self) -> Boxed {
        let Self { decider, client, peer, timeout, body, place } = self;
        drop(place);
        let arrival = decider.arrive(peer.waited());
        if arrival.overloaded {
            // Before its message is decoded: what refusing costs decides how much load a server can bear.
            let refused = check_response(decider.refuse(&client, CHECK));
            return Box::pin(turned_away(body, refused));
        }
        Box::pin(decided(decider, client, peer, arrival, timeout, body))
    }
}

impl Service<Request<Incoming>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Called;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() == CHECK && frame::is_plain(request.headers()) {
            return self.check(request);
        }
        Called::Runs(Box::pin(self.other(request)))
    }
}

impl Calls {
    fn check(&self, request: Request<Incoming>) -> Called {
        let client = match self.client(&request) {
            Ok(client) => client,
            Err(refusal) => {
                let refused = status::caller_refused(&refusal, CHECK).into_http();
                return Called::Refused(ready(Ok(refused.map(Body::Tonic))));
            }
        };
        let decider = Arc::clone(&self.front.decider);
        let (peer, place) = (self.peer.clone(), self.peer.queue().enter());
        let timeout = grpc_timeout(request.headers());
        // Without its head, which nobody asks for any more: what waits stays small.
        let body = request.into_body();
        Called::Waits(Some(Box::new(Turn { decider, client, peer, timeout, body, place })))
    }

    /// The client that calls. A connection asks for the same client over and over, so the one that was let in last is
    /// known again by what it shows, for as long as no client has changed.
    fn client(&self, request: &Request<Incoming>) -> Result<Arc<Client>, CallerRefusal> {
        let edition = self.front.gate.edition();
        let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
        let (authorization, second) = (values.next(), values.next());
        let mut let_in = self.let_in.borrow_mut();
        if let Some(known) = &*let_in
            && known.edition == edition
            && known.showed(authorization)
            && second.is_none()
            && known.until.is_none_or(|until| self.front.gate.now() <= until)
        {
            return Ok(Arc::clone(&known.client));
        }
        let shown = shown(request.headers(), Some(&self.peer));
        let client = self.front.gate.authorize(shown, CHECK, || self.peer.host())?;
        *let_in = Some(LetIn {
            authorization: authorization.cloned(),
            until: known_by_certificate(shown),
            edition,
            client: Arc::clone(&client),
        });
        Ok(client)
    }

    /// Any call but a plain `Check`, the tonic way.
    fn other(&self, mut request: Request<Incoming>) -> impl Future<Output = Answer> + Send + use<> {
        request.extensions_mut().insert(self.peer.clone());
        let mut routes = self.front.others.clone();
        let called = tower::Service::call(&mut routes, request.map(tonic::body::Body::new));
        async move { called.await.map(|response| response.map(Body::Tonic)) }
    }
}

async fn decided(
    decider: Arc<Decider>,
    client: Arc<Client>,
    peer: Peer,
    arrival: Arrival,
    timeout: Option<Duration>,
    body: Incoming,
) -> Answer {
    let message = match frame::read(body, MAX_MESSAGE_BYTES).await {
        Ok(message) => message,
        Err(status) => return Ok(status.into_http().map(Body::Tonic)),
    };
    let asked = asked(&decider, &client, CHECK, &arrival, timeout);
    Ok(check_response(decider.decide(asked, &query(message, peer.chain())).await))
}

/// Answers when the message has come, unread. To answer earlier would reset the stream, and HTTP/2 ends a connection on
/// which that happens often, with all its calls.
async fn turned_away(body: Incoming, refused: Response<Body>) -> Answer {
    frame::skip(body, MAX_MESSAGE_BYTES).await;
    Ok(refused)
}
