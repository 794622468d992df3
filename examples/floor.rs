//! The floor under every measurement: the same RPCs on the same stack, with nothing decided.
//!
//! It decodes the real requests, and answers a constant. What Deodar costs above it is the price of deciding. One
//! single-threaded runtime, so that it fills one core; `scripts/bench-peers` pins it there.

use std::net::SocketAddr;
use std::pin::Pin;

use anyhow::{Context, bail};
use deodar::api::pb::decision as pb;
use deodar::api::pb::decision::decision_service_server::{DecisionService, DecisionServiceServer};
use futures::{Stream, StreamExt};
use mimalloc::MiMalloc;
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

struct Floor;

/// The smallest answer that a gateway could act on.
fn decision() -> pb::Decision {
    pb::Decision {
        decision_id: "0198a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".to_owned(),
        effect: pb::Effect::Allow.into(),
        enforced: true,
        reason: pb::Reason::Allowed.into(),
        ..pb::Decision::default()
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<pb::StreamCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl DecisionService for Floor {
    async fn check(&self, _: Request<pb::CheckRequest>) -> Result<Response<pb::CheckResponse>, Status> {
        Ok(Response::new(pb::CheckResponse { decision: Some(decision()) }))
    }

    async fn batch_check(
        &self,
        request: Request<pb::BatchCheckRequest>,
    ) -> Result<Response<pb::BatchCheckResponse>, Status> {
        let decisions = request.get_ref().questions.iter().map(|_| decision()).collect();
        Ok(Response::new(pb::BatchCheckResponse { decisions }))
    }

    type StreamCheckStream = Answers;

    async fn stream_check(
        &self,
        request: Request<Streaming<pb::StreamCheckRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let answers = request.into_inner().map(|question| {
            let pb::StreamCheckRequest { id, .. } = question?;
            Ok(pb::StreamCheckResponse { id, decision: Some(decision()) })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some("--listen"), Some(address), None) =
        (arguments.next().as_deref(), arguments.next(), arguments.next())
    else {
        bail!("usage: floor --listen 127.0.0.1:7360");
    };
    let address: SocketAddr = address.parse().with_context(|| format!("`{address}` is not an address"))?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(address))
}

async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let socket = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
    // As Deodar's own listener.
    let incoming = TcpIncoming::from(socket).with_nodelay(Some(true));
    let service = DecisionServiceServer::new(Floor);
    Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
}
