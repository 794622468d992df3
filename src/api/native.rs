//! The native door: `deodar.decision.v1`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use super::deadline::grpc_timeout;
use super::layers::{caller, known_until};
use super::pb::decision as pb;
use super::pb::decision::decision_service_server::DecisionService;
use super::peer::Peer;
use super::{status, wire};
use crate::decide::{Arrival, Asked, Deadline, Decider};
use crate::model::{CertificateChain, Client, Query, Question, Timestamp};

pub(super) const CHECK: &str = "/deodar.decision.v1.DecisionService/Check";
const BATCH: &str = "/deodar.decision.v1.DecisionService/BatchCheck";
const STREAM: &str = "/deodar.decision.v1.DecisionService/StreamCheck";

/// Serves [`DecisionService`].
pub(super) struct Native {
    decider: Arc<Decider>,
}

impl Native {
    pub fn new(decider: Arc<Decider>) -> Self {
        Self { decider }
    }

    /// The place that the layer in front took for this call; without that layer, one taken now.
    fn arrival<T>(&self, request: &mut Request<T>) -> Arc<Arrival> {
        let arrival = request.extensions_mut().remove::<Arc<Arrival>>();
        arrival.unwrap_or_else(|| Arc::new(self.decider.arrive(None)))
    }
}

/// The circumstances of a call. The time that it waited for its turn counts.
pub(super) fn asked<'a>(
    decider: &Decider,
    caller: &'a Client,
    rpc: &'a str,
    arrival: &Arrival,
    timeout: Option<Duration>,
) -> Asked<'a> {
    let config = decider.config();
    let deadline = Deadline::after(arrival.at, timeout, config);
    Asked { caller, rpc, deadline, patience: config.at_least_wait, overloaded: arrival.overloaded }
}

/// The query of a message, on a connection that showed `own`. A field that cannot be read makes the question unreadable,
/// and so denied.
pub(super) fn query(request: pb::CheckRequest, own: Option<&CertificateChain>) -> Query {
    let pb::CheckRequest { credentials, question, source, device, explain, at_least, trace_id } = request;
    let questions = Vec::new();
    let batch = pb::BatchCheckRequest { credentials, questions, source, device, explain, at_least, trace_id };
    let (mut query, unreadable) = shared(batch, own);
    query.question = unreadable.map_or_else(|| wire::question(question), Question::Unreadable);
    query
}

/// What all questions of one message share, as a query without a question yet; and what of it cannot be read.
fn shared(request: pb::BatchCheckRequest, own: Option<&CertificateChain>) -> (Query, Option<String>) {
    let source = wire::source(request.source);
    let at_least = wire::at_least(&request.at_least);
    let unreadable = source.as_ref().err().or(at_least.as_ref().err()).cloned();
    let (credential, certificate) = wire::credential(request.credentials, own);
    let query = Query {
        credential,
        certificate,
        question: Question::Unreadable(String::new()),
        source_ip: source.unwrap_or_default(),
        device: request.device.map(wire::device),
        explain: request.explain,
        at_least: at_least.unwrap_or_default(),
        trace_id: wire::trace_id(request.trace_id),
    };
    (query, unreadable)
}

/// The connection that a call came on.
fn peer<T>(request: &mut Request<T>) -> Peer {
    request.extensions_mut().remove::<Peer>().unwrap_or_default()
}

type Answers = Pin<Box<dyn Stream<Item = Result<pb::StreamCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl DecisionService for Native {
    async fn check(
        &self,
        mut request: Request<pb::CheckRequest>,
    ) -> Result<Response<pb::CheckResponse>, Status> {
        let caller = caller(&request)?;
        let arrival = self.arrival(&mut request);
        let timeout = grpc_timeout(request.metadata().as_ref());
        let peer = peer(&mut request);
        let asked = asked(&self.decider, &caller, CHECK, &arrival, timeout);
        let decision = self.decider.decide(asked, &query(request.into_inner(), peer.chain())).await;
        Ok(Response::new(pb::CheckResponse { decision: Some(wire::decision(decision)) }))
    }

    async fn batch_check(
        &self,
        mut request: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        let caller = caller(&request)?;
        let arrival = self.arrival(&mut request);
        let timeout = grpc_timeout(request.metadata().as_ref());
        let peer = peer(&mut request);
        let mut asked = asked(&self.decider, &caller, BATCH, &arrival, timeout);
        let mut request = request.into_inner();
        let questions = std::mem::take(&mut request.questions);
        let most = self.decider.config().max_batch;
        if questions.len() > most {
            let why = format!("{} questions in one batch, at most {most} are taken", questions.len());
            return Err(status::invalid_call("questions", why));
        }
        let (mut query, unreadable) = shared(request, peer.chain());
        let mut decisions = Vec::with_capacity(questions.len());
        for question in questions {
            query.question = match &unreadable {
                Some(why) => Question::Unreadable(why.clone()),
                None => wire::question(Some(question)),
            };
            let decision = self.decider.decide(asked, &query).await;
            decisions.push(wire::decision(decision));
            // The first question has waited for the wanted revision; the others need not wait again.
            asked.patience = Duration::ZERO;
            // Others on this thread get their turn between the questions of a large batch.
            tokio::task::consume_budget().await;
        }
        Ok(Response::new(pb::BatchCheckResponse { decisions }))
    }

    type StreamCheckStream = Answers;

    async fn stream_check(
        &self,
        mut request: Request<Streaming<pb::StreamCheckRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let caller = caller(&request)?;
        let peer = peer(&mut request);
        let most = self.decider.config().max_stream_in_flight.max(1);
        let until = known_until(&request);
        let until_revoked = revoked(Arc::clone(&self.decider), Arc::clone(&caller), until);
        let (decider, client) = (Arc::clone(&self.decider), Arc::clone(&caller));
        let answers = request
            .into_inner()
            .take_until(until_revoked)
            .map(move |message| answer(Arc::clone(&decider), Arc::clone(&client), peer.clone(), message))
            // Reads no further while this many are under way: a client that sends faster is made to wait.
            .buffer_unordered(most);
        let farewell =
            stream::once(farewell(Arc::clone(&self.decider), caller, until)).filter_map(std::future::ready);
        Ok(Response::new(Box::pin(answers.chain(farewell))))
    }
}

/// Answers one message of a stream.
async fn answer(
    decider: Arc<Decider>,
    caller: Arc<Client>,
    peer: Peer,
    message: Result<pb::StreamCheckRequest, Status>,
) -> Result<pb::StreamCheckResponse, Status> {
    let pb::StreamCheckRequest { id, timeout, request } = message?;
    // A timeout that is no duration leaves no time: better a denial than one that nobody waits for.
    let timeout = timeout.map(|timeout| Duration::try_from(timeout).unwrap_or_default());
    let arrival = decider.arrive(None);
    let asked = asked(&decider, &caller, STREAM, &arrival, timeout);
    let decision = decider.decide(asked, &query(request.unwrap_or_default(), peer.chain())).await;
    Ok(pb::StreamCheckResponse { id, decision: Some(wire::decision(decision)) })
}

/// Returns when the client has been revoked or is known by something else, or when the certificate that it is known by
/// has expired.
async fn revoked(decider: Arc<Decider>, client: Arc<Client>, until: Option<Timestamp>) {
    let mut changes = decider.live().callers.changes();
    while is_known(&decider, &client, until) {
        let left = until.map_or(Duration::MAX, |until| until.since(decider.clock().now()));
        // A second more, so that it has passed by then.
        let lapse = tokio::time::sleep(left.saturating_add(Duration::from_secs(1)));
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = lapse => {}
        }
    }
}

fn is_known(decider: &Decider, client: &Client, until: Option<Timestamp>) -> bool {
    let in_time = until.is_none_or(|until| decider.clock().now() <= until);
    in_time && decider.live().callers.is_live(client)
}

/// The end of a stream: an error when it ends because the client is known no more.
async fn farewell(
    decider: Arc<Decider>,
    client: Arc<Client>,
    until: Option<Timestamp>,
) -> Option<Result<pb::StreamCheckResponse, Status>> {
    (!is_known(&decider, &client, until)).then(|| Err(status::client_revoked()))
}
