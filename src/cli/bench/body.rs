//! Questions as they are sent: encoded once, in a random order, with what their answers must be.

use std::sync::Arc;

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use super::Mode;
use super::questions::{Caller, Question};
use crate::api::load::{self, StreamQuestion, Verdict, Verdicts};
use crate::api::pb::decision as pb;

/// From here on each principal asks only some of the questions: what is kept encoded must fit into memory.
const MANY: usize = 100_000;

/// One message to send.
#[derive(Clone, Debug)]
pub struct Body {
    pub message: Message,
    pub expected: Expected,
}

#[derive(Clone, Debug)]
pub enum Message {
    /// A framed message.
    Unary(Bytes),
    Stream(StreamQuestion),
}

/// What an answer must be.
#[derive(Clone, Debug)]
pub enum Expected {
    One(Verdict),
    Many(Arc<[Verdict]>),
    /// Bytes that it must contain.
    Containing(Bytes),
}

/// How an answer compares with what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Right,
    Wrong,
    /// Denied because the server had too much to do.
    Overloaded,
}

impl Expected {
    /// How many decisions an answer holds.
    pub fn decisions(&self) -> u64 {
        match self {
            Self::One(_) | Self::Containing(_) => 1,
            Self::Many(verdicts) => u64::try_from(verdicts.len()).unwrap_or(u64::MAX),
        }
    }

    pub fn judge(&self, answer: &[u8]) -> Judgement {
        match self {
            Self::One(verdict) => judge(std::slice::from_ref(verdict), Verdicts::of(answer)),
            Self::Many(verdicts) => judge(verdicts, Verdicts::of(answer)),
            Self::Containing(bytes) => {
                let found = answer.windows(bytes.len().max(1)).any(|window| window == bytes);
                if found { Judgement::Right } else { Judgement::Wrong }
            }
        }
    }

    /// As [`Expected::judge`], for one answer of a stream.
    pub fn judge_one(&self, verdict: Verdict) -> Judgement {
        match self {
            Self::One(expected) => judge(std::slice::from_ref(expected), std::iter::once(verdict)),
            Self::Many(_) | Self::Containing(_) => Judgement::Wrong,
        }
    }
}

fn judge(expected: &[Verdict], got: impl Iterator<Item = Verdict>) -> Judgement {
    let (mut right, mut overloaded) = (0_usize, false);
    for (at, verdict) in got.enumerate() {
        right += usize::from(expected.get(at) == Some(&verdict));
        overloaded |= verdict.is_overload();
    }
    match right == expected.len() {
        true => Judgement::Right,
        false if overloaded => Judgement::Overloaded,
        false => Judgement::Wrong,
    }
}

/// Everything that is to be asked, in the order of asking.
pub fn encode(callers: Vec<Caller>, mode: Mode, batch: usize, seed: u64) -> Vec<Body> {
    let all: usize = callers.iter().map(|caller| caller.questions.len()).sum();
    let each = if all <= MANY { usize::MAX } else { (MANY / callers.len().max(1)).max(1) };
    let mut bodies = Vec::new();
    for (number, Caller { common, questions }) in callers.into_iter().enumerate() {
        match mode {
            Mode::Batch => bodies.push(batched(common, &questions, number, batch)),
            Mode::Unary | Mode::Stream => {
                let count = questions.len();
                let some = questions.into_iter().cycle().skip(number % count.max(1)).take(count.min(each));
                bodies.extend(some.map(|question| single(&common, question, mode)));
            }
        }
    }
    bodies.shuffle(&mut StdRng::seed_from_u64(seed));
    bodies
}

fn single(common: &pb::CheckRequest, question: Question, mode: Mode) -> Body {
    let request = pb::CheckRequest { question: Some(question.question), ..common.clone() };
    let message = match mode {
        Mode::Stream => Message::Stream(StreamQuestion::new(request)),
        Mode::Unary | Mode::Batch => Message::Unary(load::encode(&request)),
    };
    Body { message, expected: Expected::One(question.verdict) }
}

/// A batch of the caller's questions, from the first again when there are too few.
fn batched(common: pb::CheckRequest, questions: &[Question], first: usize, size: usize) -> Body {
    let chosen: Vec<&Question> =
        questions.iter().cycle().skip(first % questions.len().max(1)).take(size).collect();
    let pb::CheckRequest { credentials, source, device, explain, at_least, trace_id, .. } = common;
    let request = pb::BatchCheckRequest {
        credentials,
        questions: chosen.iter().map(|question| question.question.clone()).collect(),
        source,
        device,
        explain,
        at_least,
        trace_id,
    };
    let verdicts = chosen.iter().map(|question| question.verdict).collect();
    Body { message: Message::Unary(load::encode(&request)), expected: Expected::Many(verdicts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(effect: pb::Effect, reason: pb::Reason) -> Verdict {
        let (effect, reason) = (effect.into(), reason.into());
        Verdict::of(&pb::Decision { effect, reason, ..pb::Decision::default() })
    }

    fn answer(decisions: &[(pb::Effect, pb::Reason)]) -> Bytes {
        let decision = |(effect, reason): &(pb::Effect, pb::Reason)| pb::Decision {
            effect: (*effect).into(),
            reason: (*reason).into(),
            ..pb::Decision::default()
        };
        let message = pb::BatchCheckResponse { decisions: decisions.iter().map(decision).collect() };
        load::encode(&message).slice(5..)
    }

    const ALLOW: (pb::Effect, pb::Reason) = (pb::Effect::Allow, pb::Reason::Allowed);
    const DENY: (pb::Effect, pb::Reason) = (pb::Effect::Deny, pb::Reason::NoMatchingPermit);
    const BUSY: (pb::Effect, pb::Reason) = (pb::Effect::Deny, pb::Reason::Overloaded);

    #[test]
    fn only_the_expected_answer_is_right() {
        let deny = Expected::One(verdict(DENY.0, DENY.1));
        assert_eq!(deny.judge(&answer(&[DENY])), Judgement::Right);
        assert_eq!(deny.judge(&answer(&[ALLOW])), Judgement::Wrong);
        assert_eq!(deny.judge(&answer(&[BUSY])), Judgement::Overloaded, "another reason is another answer");
        assert_eq!(deny.judge(b""), Judgement::Wrong);
        assert_eq!(deny.judge_one(verdict(DENY.0, DENY.1)), Judgement::Right);
    }

    #[test]
    fn every_decision_of_a_batch_counts_and_none_may_be_missing() {
        let both = Expected::Many([verdict(ALLOW.0, ALLOW.1), verdict(DENY.0, DENY.1)].into());
        assert_eq!(both.decisions(), 2);
        assert_eq!(both.judge(&answer(&[ALLOW, DENY])), Judgement::Right);
        for wrong in [vec![DENY, ALLOW], vec![ALLOW], vec![]] {
            assert_eq!(both.judge(&answer(&wrong)), Judgement::Wrong);
        }
    }

    #[test]
    fn bytes_are_found_wherever_they_stand() {
        let expected = Expected::Containing(Bytes::from_static(&[0x10, 0x01]));
        assert_eq!(expected.judge(&[9, 0x10, 0x01, 9]), Judgement::Right);
        assert_eq!(expected.judge(&[0x10, 0x02, 0x01]), Judgement::Wrong);
    }

    fn caller(name: &str, questions: usize) -> Caller {
        let question = |kind| Question {
            question: pb::Question::default(),
            kind,
            effect: None,
            verdict: verdict(ALLOW.0, ALLOW.1),
        };
        let common = pb::CheckRequest { trace_id: name.to_owned(), ..pb::CheckRequest::default() };
        Caller { common, questions: (0..questions).map(question).collect() }
    }

    #[test]
    fn each_question_is_asked_once_a_round_and_batches_are_filled_up() {
        let callers = || vec![caller("a", 3), caller("b", 5)];
        assert_eq!(encode(callers(), Mode::Unary, 4, 1).len(), 8);
        assert_eq!(encode(callers(), Mode::Stream, 4, 1).len(), 8);
        let batches = encode(callers(), Mode::Batch, 4, 1);
        assert_eq!(batches.iter().map(|body| body.expected.decisions()).collect::<Vec<_>>(), [4, 4]);
    }
}
