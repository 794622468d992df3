//! One StreamCheck call that stays open: questions out as they come, answers in as they are ready.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};

use super::{LoadConnection, LoadError, PREFIX, check_status, encode, split_message};
use crate::api::pb::decision as pb;

/// The digits of a question's id.
const ID: usize = 8;
/// Where the id stands in a framed question: behind the prefix, its field number and its length.
const ID_AT: usize = PREFIX + 2;

/// A question for a stream, encoded but for its id.
#[derive(Clone, Debug)]
pub struct StreamQuestion(Bytes);

impl StreamQuestion {
    pub fn new(request: pb::CheckRequest) -> Self {
        // Protobuf writes fields in the order of their numbers, and `id` is the first.
        let question = pb::StreamCheckRequest { id: "0".repeat(ID), timeout: None, request: Some(request) };
        Self(encode(&question))
    }

    /// Writes the framed question under a number below 100,000,000.
    pub fn append(&self, number: usize, into: &mut BytesMut) {
        let start = into.len() + ID_AT;
        into.extend_from_slice(&self.0);
        let mut rest = number;
        for digit in into.iter_mut().skip(start).take(ID).rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
    }
}

/// An open stream.
pub struct LoadStream {
    questions: SendStream<Bytes>,
    answers: RecvStream,
    buffer: BytesMut,
}

impl LoadStream {
    pub async fn open(connection: &mut LoadConnection) -> Result<Self, LoadError> {
        let LoadConnection { requests, head } = connection;
        poll_fn(|context| requests.poll_ready(context)).await?;
        let (response, questions) = requests.send_request(head.clone(), false)?;
        let (head, answers) = response.await?.into_parts();
        if head.headers.contains_key("grpc-status") {
            check_status(&head.headers)?;
        }
        Ok(Self { questions, answers, buffer: BytesMut::new() })
    }

    /// Sends framed questions, as many as the bytes hold.
    pub fn send(&mut self, framed: Bytes) -> Result<(), LoadError> {
        Ok(self.questions.send_data(framed, false)?)
    }

    /// Waits for bytes and gives out the messages that became whole; `false` at the end of the stream. Nothing is lost
    /// when the future is dropped.
    pub async fn receive(&mut self, mut each: impl FnMut(Bytes)) -> Result<bool, LoadError> {
        let Some(chunk) = self.answers.data().await else {
            let trailers = self.answers.trailers().await?;
            return trailers.as_ref().map_or(Ok(()), check_status).map(|()| false);
        };
        let chunk = chunk?;
        self.answers.flow_control().release_capacity(chunk.len())?;
        self.buffer.extend_from_slice(&chunk);
        while let Some(message) = split_message(&mut self.buffer) {
            each(message);
        }
        Ok(true)
    }
}

/// The number in the id of a question that comes back with its answer.
pub(super) fn number(id: &[u8]) -> Option<usize> {
    std::str::from_utf8(id).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn a_question_carries_the_number_it_was_written_under() {
        let request = pb::CheckRequest { trace_id: "00000000".into(), ..pb::CheckRequest::default() };
        let question = StreamQuestion::new(request.clone());
        let mut written = BytesMut::from(&b"before"[..]);
        question.append(4_711, &mut written);
        question.append(99_999_999, &mut written);
        let _before = written.split_to(6);
        for expected in ["00004711", "99999999"] {
            let message = split_message(&mut written).unwrap();
            let read = pb::StreamCheckRequest::decode(message).unwrap();
            assert_eq!((read.id.as_str(), read.request.as_ref()), (expected, Some(&request)));
            assert_eq!(number(read.id.as_bytes()), expected.parse().ok());
        }
    }
}
