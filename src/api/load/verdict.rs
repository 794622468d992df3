//! What an answer decides, read from its bytes without decoding the rest.
//!
//! Every answer of a measurement is held against what it should say, so reading one must cost next to nothing.

use super::stream;
use crate::api::pb::decision as pb;
use crate::api::plain;

/// Effect and reason of one decision, as they are numbered on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verdict {
    effect: u64,
    reason: u64,
}

impl Verdict {
    pub fn of(decision: &pb::Decision) -> Self {
        let number = |value: i32| u64::try_from(value).unwrap_or_default();
        Self { effect: number(decision.effect), reason: number(decision.reason) }
    }

    pub fn effect(self) -> &'static str {
        plain::effect(i32::try_from(self.effect).unwrap_or_default())
    }

    pub fn reason(self) -> String {
        plain::reason(i32::try_from(self.reason).unwrap_or_default())
    }

    pub const fn is_overload(self) -> bool {
        self.reason == pb::Reason::Overloaded as u64
    }

    fn read(decision: &[u8]) -> Self {
        let mut verdict = Self::default();
        for (field, value) in Fields(decision) {
            match (field, value) {
                (2, Value::Number(effect)) => verdict.effect = effect,
                (4, Value::Number(reason)) => verdict.reason = reason,
                _ => {}
            }
        }
        verdict
    }
}

/// The verdicts of a CheckResponse or a BatchCheckResponse, in their order.
pub struct Verdicts<'a>(Fields<'a>);

impl<'a> Verdicts<'a> {
    pub const fn of(answer: &'a [u8]) -> Self {
        Self(Fields(answer))
    }

    /// The number and the verdict of a StreamCheckResponse.
    pub fn of_stream(answer: &[u8]) -> Option<(usize, Verdict)> {
        let (mut number, mut verdict) = (None, None);
        for (field, value) in Fields(answer) {
            match (field, value) {
                (1, Value::Bytes(id)) => number = stream::number(id),
                (2, Value::Bytes(decision)) => verdict = Some(Verdict::read(decision)),
                _ => {}
            }
        }
        Some((number?, verdict?))
    }
}

impl Iterator for Verdicts<'_> {
    type Item = Verdict;

    fn next(&mut self) -> Option<Verdict> {
        // Both messages have their decisions in field 1.
        self.0.find_map(|field| match field {
            (1, Value::Bytes(decision)) => Some(Verdict::read(decision)),
            _ => None,
        })
    }
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a protobuf message; ends where the bytes stop making sense.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => self.bytes(4).map(|_| Value::Other)?,
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn decision(effect: pb::Effect, reason: pb::Reason) -> pb::Decision {
        pb::Decision {
            decision_id: "0198".repeat(9),
            effect: effect.into(),
            enforced: true,
            reason: reason.into(),
            message: "Allowed.".into(),
            policy_ids: vec!["a".into(), "b".into()],
            risk: Some(pb::Risk { score: 300, ..pb::Risk::default() }),
            ..pb::Decision::default()
        }
    }

    #[test]
    fn a_verdict_is_what_the_decoded_answer_says() {
        let allow = decision(pb::Effect::Allow, pb::Reason::Allowed);
        let deny = decision(pb::Effect::Deny, pb::Reason::Overloaded);
        let one = pb::CheckResponse { decision: Some(allow.clone()) }.encode_to_vec();
        assert_eq!(Verdicts::of(&one).collect::<Vec<_>>(), [Verdict::of(&allow)]);
        let many = pb::BatchCheckResponse { decisions: vec![allow.clone(), deny.clone()] }.encode_to_vec();
        let read: Vec<_> = Verdicts::of(&many).collect();
        assert_eq!(read, [Verdict::of(&allow), Verdict::of(&deny)]);
        assert_eq!(read[0].effect(), "allow");
        assert!(read[1].is_overload() && read[1].effect() == "deny" && read[1].reason() == "overloaded");
        let answer = pb::StreamCheckResponse { id: "00000042".into(), decision: Some(deny) }.encode_to_vec();
        assert_eq!(Verdicts::of_stream(&answer), Some((42, read[1])));
    }

    #[test]
    fn what_is_cut_off_has_no_verdict() {
        let answer = pb::CheckResponse { decision: Some(decision(pb::Effect::Allow, pb::Reason::Allowed)) };
        let bytes = answer.encode_to_vec();
        for end in 0..bytes.len() {
            assert_eq!(Verdicts::of(&bytes[..end]).next(), None, "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Verdicts::of(&bytes).count();
            let _ = Verdicts::of_stream(&bytes);
        }
    }
}
