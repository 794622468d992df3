//! The framing of one gRPC message, for the RPC that is most of all calls: five bytes (compressed or not, and the
//! length), then the message; the status comes behind it as a trailer.
//!
//! tonic does this for every other RPC. What it can do besides (compression, streams, messages in any number) costs a
//! single small message about as much as deciding it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::BodyExt;
use prost::Message;
use tonic::Status;
use tonic::metadata::GRPC_CONTENT_TYPE;

/// The flag and the length.
const PREFIX: usize = 5;
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// Whether the call's message is framed as this module reads it: plain protobuf, not compressed.
pub fn is_plain(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let protobuf = matches!(content_type, Some(b"application/grpc" | b"application/grpc+proto"));
    protobuf && !headers.contains_key(GRPC_ENCODING)
}

/// Reads the one message of a call, of at most so many bytes.
pub async fn read<M, B>(mut body: B, at_most: usize) -> Result<M, Status>
where
    M: Message + Default,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut read = Pieces::Whole(Bytes::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(Status::internal("the message could not be read")) };
        let Ok(data) = frame.into_data() else { continue };
        read = read.and(data);
        if read.bytes().len() > at_most.saturating_add(PREFIX) {
            return Err(Status::out_of_range(format!("the message is longer than {at_most} bytes")));
        }
    }
    let message = whole(read.bytes())?;
    M::decode(message).map_err(|error| Status::internal(format!("the message cannot be decoded: {error}")))
}

/// Lets a message pass that nobody wants to read: to its end, or so many bytes of it.
pub async fn skip<B: http_body::Body<Data = Bytes> + Unpin>(mut body: B, at_most: usize) {
    let mut left = at_most.saturating_add(PREFIX);
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(rest) = left.checked_sub(length) else { break };
        left = rest;
    }
}

/// What came of a message so far. Nearly always it comes in one piece, and then it is not copied.
enum Pieces {
    Whole(Bytes),
    Joined(BytesMut),
}

impl Pieces {
    fn and(self, data: Bytes) -> Self {
        let mut joined = match self {
            Self::Whole(none) if none.is_empty() => return Self::Whole(data),
            Self::Whole(first) => BytesMut::from(first),
            Self::Joined(joined) => joined,
        };
        joined.extend_from_slice(&data);
        Self::Joined(joined)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Joined(bytes) => bytes,
        }
    }
}

/// The message inside its frame, which must be all that there is.
fn whole(framed: &[u8]) -> Result<&[u8], Status> {
    let split = framed.split_first_chunk::<PREFIX>();
    let Some(([compressed, length @ ..], message)) = split else {
        return Err(Status::internal("the call has no message"));
    };
    if *compressed != 0 {
        return Err(Status::internal("the message is compressed, but the call names no grpc-encoding"));
    }
    if usize::try_from(u32::from_be_bytes(*length)).ok() != Some(message.len()) {
        return Err(Status::internal("the call does not hold exactly one message"));
    }
    Ok(message)
}

/// An answer with one message of this length, which is written now, and the status OK.
pub fn answer(length: usize, write: impl FnOnce(&mut BytesMut)) -> Response<Body> {
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    // A message of 4 GiB does not come about: what goes into it is bounded.
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    write(&mut framed);
    let mut response = Response::new(Body::Message(framed.freeze()));
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// The body of an answer.
pub enum Body {
    /// One framed message, then the status OK.
    Message(Bytes),
    /// The status OK.
    Status,
    Done,
    /// What tonic made.
    Tonic(tonic::body::Body),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Self::Tonic(body) = &mut *self {
            return Pin::new(body).poll_frame(context);
        }
        match std::mem::replace(&mut *self, Self::Done) {
            Self::Message(framed) => {
                *self = Self::Status;
                Poll::Ready(Some(Ok(Frame::data(framed))))
            }
            Self::Status => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Self::Done | Self::Tonic(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Tonic(body) => body.is_end_stream(),
            Self::Done => true,
            Self::Message(_) | Self::Status => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;
    use crate::api::pb::decision as pb;

    fn message() -> pb::CheckRequest {
        pb::CheckRequest {
            trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
            ..pb::CheckRequest::default()
        }
    }

    fn answer() -> Response<Body> {
        super::answer(message().encoded_len(), |out| message().encode_raw(out))
    }

    async fn framed() -> Bytes {
        answer().into_body().collect().await.unwrap().to_bytes()
    }

    async fn code(framed: Vec<u8>, at_most: usize) -> Code {
        read::<pb::CheckRequest, _>(Full::new(Bytes::from(framed)), at_most).await.unwrap_err().code()
    }

    #[tokio::test]
    async fn an_answer_is_one_message_and_the_status_behind_it() {
        let collected = answer().into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap().get("grpc-status").unwrap(), "0");
        let again: pb::CheckRequest = read(Full::new(collected.to_bytes()), 1_000).await.unwrap();
        assert_eq!(again, message());
    }

    #[tokio::test]
    async fn what_is_not_exactly_one_message_is_an_error() {
        let good = framed().await.to_vec();
        assert_eq!(code(Vec::new(), 1_000).await, Code::Internal);
        assert_eq!(code(good[..4].to_vec(), 1_000).await, Code::Internal);
        assert_eq!(code(good[..good.len() - 1].to_vec(), 1_000).await, Code::Internal);
        assert_eq!(code([good.clone(), vec![0]].concat(), 1_000).await, Code::Internal);
        assert_eq!(code([good.clone(), good.clone()].concat(), 1_000).await, Code::Internal);
        assert_eq!(code(good.clone(), good.len() - PREFIX - 1).await, Code::OutOfRange);
        let mut compressed = good;
        compressed[0] = 1;
        assert_eq!(code(compressed, 1_000).await, Code::Internal);
    }

    #[test]
    fn only_plain_protobuf_is_framed_here() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs
                .iter()
                .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            HeaderMap::from_iter(pairs)
        };
        assert!(is_plain(&headers(&[("content-type", "application/grpc")])));
        assert!(is_plain(&headers(&[("content-type", "application/grpc+proto")])));
        assert!(!is_plain(&headers(&[])));
        assert!(!is_plain(&headers(&[("content-type", "application/grpc+json")])));
        assert!(!is_plain(&headers(&[("content-type", "application/grpc"), ("grpc-encoding", "gzip")])));
    }

    async fn read_in(pieces: &[Vec<u8>]) -> Result<pb::CheckRequest, Code> {
        let frames = pieces.iter().map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece))));
        let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
        read(body, 64).await.map_err(|status| status.code())
    }

    proptest! {
        #[test]
        fn bytes_in_pieces_are_read_as_the_same_bytes_at_once(
            good in any::<bool>(),
            noise in proptest::collection::vec(any::<u8>(), 0..80),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let bytes = if good { runtime.block_on(framed()).to_vec() } else { noise };
            let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            ends.push(bytes.len());
            ends.sort_unstable();
            let pieces = ends.iter().scan(0, |from, end| {
                let piece = bytes[*from..*end].to_vec();
                *from = *end;
                Some(piece)
            });
            let pieces: Vec<Vec<u8>> = pieces.collect();
            let found = runtime.block_on(read_in(&pieces));
            prop_assert_eq!(&found, &runtime.block_on(read_in(&[bytes])));
            prop_assert!(!good || found == Ok(message()));
        }
    }
}
