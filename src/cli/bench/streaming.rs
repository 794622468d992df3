//! Asking over streams: each has its questions in flight under numbers, and takes their answers in any order.

use std::time::Duration;

use bytes::BytesMut;
use futures::FutureExt as _;
use futures::future::join_all;

use super::body::{Expected, Message};
use super::generator::{Gang, Window, pause};
use super::pace::{Arrivals, Pace};
use crate::api::load::{LoadConnection, LoadError, LoadStream, Verdicts};

/// Opens a stream on each connection and asks until the end of the window.
pub async fn run(gang: &Gang, connections: Vec<LoadConnection>, window: Window) {
    let streams = connections.into_iter().enumerate().map(|(number, connection)| async move {
        let stream = Asking::new(gang, number);
        if let Err(error) = stream.until(connection, window).await {
            gang.count(|tally| tally.failed(&error));
        }
    });
    join_all(streams).await;
}

/// A question that waits for its answer.
#[derive(Clone, Copy)]
struct Pending<'a> {
    due: Duration,
    expected: &'a Expected,
}

struct Asking<'a> {
    gang: &'a Gang,
    arrivals: Option<Arrivals>,
    /// By number.
    pending: Vec<Option<Pending<'a>>>,
    free: Vec<usize>,
    out: BytesMut,
}

impl<'a> Asking<'a> {
    fn new(gang: &'a Gang, number: usize) -> Self {
        let most = gang.load.concurrency;
        let arrivals = match gang.load.pace {
            Pace::Closed => None,
            #[expect(clippy::cast_precision_loss, reason = "a handful of connections")]
            Pace::Open { rate } => {
                let seed = gang.load.seed.wrapping_mul(1_000).wrapping_add(number as u64);
                Some(Arrivals::new(rate / gang.all_connections as f64, gang.clock.monotonic(), seed))
            }
        };
        Self {
            gang,
            arrivals,
            pending: vec![None; most],
            free: (0..most).rev().collect(),
            out: BytesMut::new(),
        }
    }

    async fn until(mut self, mut connection: LoadConnection, window: Window) -> Result<(), LoadError> {
        let mut stream = LoadStream::open(&mut connection).await?;
        loop {
            let now = self.gang.clock.monotonic();
            if now >= window.end {
                break;
            }
            if let Some(arrivals) = &mut self.arrivals {
                self.gang.give_up(arrivals, now, window);
            }
            self.ask(now);
            if !self.out.is_empty() {
                stream.send(self.out.split().freeze())?;
            }
            if !self.receive(&mut stream, window).await? {
                self.abandon(window);
                return Ok(());
            }
            if let Some(arrivals) = &self.arrivals {
                pause(arrivals.next().saturating_sub(self.gang.clock.monotonic()).min(IDLE)).await;
            }
        }
        if let Some(mut arrivals) = self.arrivals {
            self.gang.count_unasked(&mut arrivals, window.end, window);
        }
        Ok(())
    }

    /// Writes down what is due, as far as there are places.
    fn ask(&mut self, now: Duration) {
        while let Some(number) = self.free.last().copied()
            && let Some(due) = self.arrivals.as_mut().map_or(Some(now), |arrivals| arrivals.take(now))
        {
            let Some(body) = self.gang.next_body() else { return };
            let (Message::Stream(question), Some(place)) = (&body.message, self.pending.get_mut(number))
            else {
                return;
            };
            question.append(number, &mut self.out);
            *place = Some(Pending { due, expected: &body.expected });
            self.free.pop();
        }
    }

    /// Takes answers in; false at the end of the stream. In an open loop it does not wait for them.
    async fn receive(&mut self, stream: &mut LoadStream, window: Window) -> Result<bool, LoadError> {
        let Self { gang, arrivals, pending, free, .. } = self;
        let mut each = |message: bytes::Bytes| {
            let now = gang.clock.monotonic();
            let answer = Verdicts::of_stream(&message);
            let asked = answer.and_then(|(number, verdict)| {
                let asked = pending.get_mut(number)?.take()?;
                free.push(number);
                Some((asked, verdict))
            });
            let Some((asked, verdict)) = asked else {
                return gang.count(|tally| tally.failed(&LoadError::Truncated));
            };
            let counts = if arrivals.is_some() { asked.due } else { now };
            if window.contains(counts) {
                gang.count(|tally| {
                    tally.answered(now - asked.due, 1, asked.expected.judge_one(verdict));
                });
            }
        };
        if arrivals.is_none() {
            return stream.receive(each).await;
        }
        while let Some(received) = stream.receive(&mut each).now_or_never() {
            if !received? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The server ended the stream: what is in flight will not be answered.
    fn abandon(&self, window: Window) {
        let lost = self.pending.iter().flatten().filter(|pending| pending.due >= window.begin).count();
        self.gang.count(|tally| {
            tally.unanswered(lost.max(1) as u64, || "the server ended the stream".to_owned());
        });
    }
}

/// The longest that an open loop does not look for answers.
const IDLE: Duration = Duration::from_millis(1);
