//! The wire side of a load generator: bare HTTP/2, messages as bytes that were encoded beforehand.
//!
//! A generator that costs more than the server it asks measures itself. The generated client encodes each request
//! anew, allocates for each answer and passes both through a queue; here a call is a frame out and a frame in. When to
//! ask and what to make of the times is left to `cli`.

mod stream;
mod verdict;

use std::future::poll_fn;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{Builder, SendRequest};
use http::header::{AUTHORIZATION, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use prost::Message;

pub use stream::{LoadStream, StreamQuestion};
pub use verdict::{Verdict, Verdicts};

use super::dial::{self, DialError, Dialer};
use crate::model::Secret;

/// The RPCs of the decision listener, as paths.
pub const CHECK: &str = "/deodar.decision.v1.DecisionService/Check";
pub const BATCH_CHECK: &str = "/deodar.decision.v1.DecisionService/BatchCheck";
pub const STREAM_CHECK: &str = "/deodar.decision.v1.DecisionService/StreamCheck";

/// How many bytes of answers may be under way on one stream, and sixteen times as many on one connection: so many that
/// flow control never holds the server back.
const WINDOW: u32 = 1 << 20;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("no connection to {authority}")]
    Unreachable {
        authority: String,
        #[source]
        source: DialError,
    },
    #[error("the key or the path of the RPC holds characters that cannot be sent")]
    InvalidHeader(#[from] http::Error),
    #[error("the connection failed{}", because(.0))]
    Connection(#[from] h2::Error),
    #[error("the server answered with the gRPC status {code}: {message}")]
    Status { code: String, message: String },
    #[error("the answer is not one whole message")]
    Truncated,
}

impl LoadError {
    /// Whether the connection can still be used.
    pub const fn is_answer(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::Truncated)
    }
}

/// What TLS has to do with it.
fn because(error: &h2::Error) -> String {
    let why = dial::explain(error);
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

/// A message as gRPC frames it: not compressed, its length, its bytes.
pub fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// As [`frame`], for a message that is not encoded yet.
pub fn encode(message: &impl Message) -> Bytes {
    frame(&message.encode_to_vec())
}

/// The bytes before each message.
const PREFIX: usize = 5;

/// Takes the first whole message off the buffer.
fn split_message(buffer: &mut BytesMut) -> Option<Bytes> {
    let length = message_length(buffer)?;
    (buffer.len() >= PREFIX + length).then(|| {
        let mut framed = buffer.split_to(PREFIX + length);
        framed.split_off(PREFIX).freeze()
    })
}

fn message_length(framed: &[u8]) -> Option<usize> {
    let length: [u8; 4] = framed.get(1..PREFIX)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}

/// One HTTP/2 connection, and the RPC that is called over it. Clones share the connection.
#[derive(Clone)]
pub struct LoadConnection {
    requests: SendRequest<Bytes>,
    head: Request<()>,
}

impl LoadConnection {
    /// Connects. The task that serves the connection runs on the caller's runtime.
    pub async fn open(dialer: &Dialer, rpc: &str, key: Option<&Secret>) -> Result<Self, LoadError> {
        let authority = dialer.authority();
        let unreachable = |source| LoadError::Unreachable { authority: authority.to_owned(), source };
        let stream = dialer.connect().await.map_err(unreachable)?;
        let (requests, connection) = Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 16)
            .enable_push(false)
            .handshake(stream)
            .await?;
        // Its errors are those of the calls that it carries.
        tokio::spawn(connection);
        Ok(Self { requests, head: head(&format!("{}://{authority}{rpc}", dialer.scheme()), key)? })
    }

    /// One unary call: a framed message, and the message that answers it.
    pub async fn call(&mut self, framed: Bytes) -> Result<Bytes, LoadError> {
        poll_fn(|context| self.requests.poll_ready(context)).await?;
        let (response, mut body) = self.requests.send_request(self.head.clone(), false)?;
        body.send_data(framed, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut answer = Bytes::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            answer = if answer.is_empty() { chunk } else { [answer, chunk].concat().into() };
        }
        let trailers = body.trailers().await?;
        check_status(trailers.as_ref().unwrap_or(&head.headers))?;
        let whole = message_length(&answer).is_some_and(|length| answer.len() == PREFIX + length);
        if whole { Ok(answer.slice(PREFIX..)) } else { Err(LoadError::Truncated) }
    }
}

/// The head of every request.
fn head(url: &str, key: Option<&Secret>) -> Result<Request<()>, http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(url)
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers");
    if let Some(key) = key {
        let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose().trim()))?;
        value.set_sensitive(false); // So that HPACK sends it once and an index from then on, as gateways do.
        request = request.header(AUTHORIZATION, value);
    }
    request.body(())
}

/// An error unless the headers or trailers say that the call went well.
fn check_status(headers: &HeaderMap) -> Result<(), LoadError> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        code => Err(LoadError::Status {
            code: code.unwrap_or("(none)").to_owned(),
            message: text("grpc-message").unwrap_or_default().to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_apart_again_wherever_it_was_cut() {
        let sent: Vec<u8> = [frame(b"one"), frame(b""), frame(b"three")].concat();
        for cut in 0..sent.len() {
            let mut buffer = BytesMut::new();
            let mut got = Vec::new();
            for part in [&sent[..cut], &sent[cut..]] {
                buffer.extend_from_slice(part);
                got.extend(std::iter::from_fn(|| split_message(&mut buffer)));
            }
            assert_eq!(got, [&b"one"[..], b"", b"three"], "cut at {cut}");
        }
    }

    #[test]
    fn only_status_zero_is_fine() {
        let headers = |code: &'static str| {
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(code))])
        };
        assert!(check_status(&headers("0")).is_ok());
        assert!(check_status(&headers("16")).is_err_and(|error| error.is_answer()));
        assert!(check_status(&HeaderMap::new()).is_err());
    }
}
