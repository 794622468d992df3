//! The answer to a `Check`: a decision straight to the bytes of a `deodar.decision.v1.CheckResponse`.
//!
//! The generated message would hold a copy of every text, only for it to be written. So the texts are written here, and the
//! message without them behind: the fields of a message may come in any order (Protocol Buffers, Encoding, "Field Order").

use bytes::{BufMut, BytesMut};
use http::Response;
use prost::{Message, encode_length_delimiter, length_delimiter_len};
use uuid::Uuid;

use super::frame::{self, Body};
use super::wire;
use crate::model::Decision;

/// The one field of a `CheckResponse`.
const DECISION: u8 = 1;

/// A text with the number of its field.
type Field<'a> = (u8, &'a str);

/// The whole answer to a call.
pub fn check_response(mut decision: Decision) -> Response<Body> {
    let rest = wire::all_but_texts(&mut decision);
    let (id, revision) = (&mut Uuid::encode_buffer(), decision.revision.text());
    // The numbers are those of `wire::decision`.
    let texts: [Field<'_>; 6] = [
        (1, decision.id.uuid().hyphenated().encode_lower(id)),
        (5, &decision.message),
        (10, decision.principal.as_ref().map_or("", |principal| principal.as_str())),
        (11, decision.endpoint.as_ref().map_or("", |endpoint| endpoint.as_str())),
        (13, decision.bundle.as_ref().map_or("", |digest| digest.as_str())),
        (14, &revision),
    ];
    let policies = || decision.policies.iter().map(|policy| (6, policy.as_str()));
    let texts = || texts.into_iter().filter(|(_, text)| !text.is_empty()).chain(policies());
    let length = texts().map(|(_, text)| field_length(text.len())).sum::<usize>() + rest.encoded_len();
    frame::answer(field_length(length), |out| {
        begin(DECISION, length, out);
        for (number, text) in texts() {
            begin(number, text.len(), out);
            out.put_slice(text.as_bytes());
        }
        rest.encode_raw(out);
    })
}

/// Of a field with so many bytes in it.
fn field_length(length: usize) -> usize {
    1 + length_delimiter_len(length) + length
}

/// The number, below 16, and the length of a field whose bytes follow.
fn begin(number: u8, length: usize, out: &mut BytesMut) {
    const LENGTH_DELIMITED: u8 = 2;
    out.put_u8(number << 3 | LENGTH_DELIMITED);
    // It fails where there is no room, and this buffer grows.
    let _ = encode_length_delimiter(length, out);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::api::pb::decision as pb;
    use crate::model::{
        BundleDigest, Challenge, ChallengeScheme, DecisionId, Demand, EndpointId, Explanation, Obligation,
        Reason, Revision, Risk, RiskReason,
    };

    fn challenge() -> Challenge {
        Challenge {
            demand: Demand::Scopes(vec!["orders:read".into()]),
            scheme: ChallengeScheme::Bearer,
            realm: "deodar".into(),
            description: None,
            resource_metadata: None,
        }
    }

    prop_compose! {
        fn decisions()(
            (id, epoch, number) in any::<(u128, u64, u64)>(),
            reason in select(Reason::ALL.to_vec()),
            enforced in any::<bool>(),
            message in ".{0,200}",
            policies in proptest::collection::vec("[a-z]{1,200}", 0..4),
            principal in option::of("User::dev/[a-z]{1,9}"),
            (obliged, challenged, risky, explained) in any::<(bool, bool, bool, bool)>(),
            (retry, reuse) in (option::of(0_u64..100), 0_u64..3),
            (endpoint, bundle) in (option::of("/[a-z]{1,9}"), option::of(any::<[u8; 32]>())),
        ) -> Decision {
            let policies: Vec<_> = policies.iter().map(|policy| policy.parse().unwrap()).collect();
            let obligation =
                Obligation { name: "log".into(), value: "warn".into(), policy: "p".parse().unwrap() };
            let risk_reason = RiskReason { kind: "new_network".into(), points: 45, text: "seen".into() };
            Decision {
                id: DecisionId::from_uuid(Uuid::from_u128(id)),
                reason,
                enforced,
                message: message.into(),
                policies,
                obligations: obliged.then_some(obligation).into_iter().collect(),
                challenge: challenged.then(challenge),
                retry_after: retry.map(Duration::from_secs),
                principal: principal.map(|principal| principal.parse().unwrap()),
                endpoint: endpoint.map(|template| EndpointId::new(&"orders".parse().unwrap(), "GET", &template)),
                risk: risky.then(|| Risk { score: 45, reasons: vec![risk_reason], ..Risk::default() }),
                bundle: bundle.map(BundleDigest::from_bytes),
                revision: Revision::new(epoch, number),
                reuse_for: Duration::from_secs(reuse),
                explanation: explained.then(Explanation::default),
            }
        }
    }

    proptest! {
        #[test]
        fn it_says_what_the_message_says(decision in decisions()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let answer = check_response(decision.clone()).into_body().collect();
            let body = runtime.block_on(answer).unwrap().to_bytes();
            let expected = pb::CheckResponse { decision: Some(wire::decision(decision)) };
            prop_assert_eq!(body.len(), 5 + expected.encoded_len());
            prop_assert_eq!(pb::CheckResponse::decode(&body[5..]).unwrap(), expected);
        }
    }
}
