//! The canonical bytes of a record: one record, one byte string, for ever.
//!
//! A version byte, then the fields of [`Record`], in an order in which what differs from record to record comes first and what
//! is alike in most comes last, so that many of them behind one another compress well. Text is its length and UTF-8; an
//! optional field is 0, or 1 and the value; a list is its length and its items; reasons stand as their names. Lengths are
//! LEB128, other numbers big-endian. What is written as a version never changes: a new field is a new version. Older
//! versions are still read (`older`).

mod decoder;
mod older;

use std::borrow::Cow;

use unsigned_varint::encode as varint;
use uuid::Uuid;

use super::AuditError;
use crate::model::{DecisionId, Effect, Record, Timestamp};
use crate::store::{Place, RecordHead};
use decoder::{Decoder, Length};

/// The version that [`encode`] writes.
pub const VERSION: u8 = 3;

pub fn encode(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    encode_to(record, &mut out);
    out
}

/// As [`encode`], into a place that is empty. Tells what the record is found by.
// INVARIANT: `store` looks for the id behind the version, where it need not be kept a second time.
pub(super) fn encode_to(record: &Record<'_>, out: &mut Vec<u8>) -> RecordHead {
    let mut out = Encoder(out);
    out.bytes(&[VERSION]);
    out.bytes(record.id.uuid().as_bytes());
    out.bytes(&record.at.micros().to_be_bytes());
    out.bytes(&record.payload_sha256);
    out.bytes(&record.duration_us.to_be_bytes());
    out.option(&record.trace_id);
    out.flag(record.token_sha256.is_some());
    record.token_sha256.iter().for_each(|digest| out.bytes(digest));
    let principal = out.option(&record.principal);
    out.option(&record.issuer);
    out.option(&record.session);
    out.option(&record.oauth_client);
    out.option(&record.source_ip);
    out.option(&record.path);
    let resource = out.text(&record.resource);
    out.text(&record.action);
    out.flag(record.effect == Effect::Allow);
    out.flag(record.enforced);
    let reason = out.text(record.reason.as_str());
    out.list(record.refusals.iter().map(|reason| reason.as_str()));
    out.list(record.policies.iter().map(AsRef::as_ref));
    out.list(record.policy_errors.iter().map(AsRef::as_ref));
    out.option(&record.detail);
    out.bytes(&[record.risk_score, record.risk_level]);
    out.list(record.risk_reasons.iter().map(AsRef::as_ref));
    out.text(&record.replica);
    let pep = out.text(record.pep.as_str());
    out.text(record.domain.as_str());
    out.option(&record.bundle);
    out.text(&record.revision);
    let Record { id, at, effect, enforced, .. } = *record;
    RecordHead { id, at, effect, enforced, pep, principal, resource, reason }
}

/// Fails on an unknown version, on anything missing, left over or out of range: only what [`encode`] writes is read, or wrote.
pub fn decode(bytes: &[u8]) -> Result<Record<'static>, AuditError> {
    let (version, bytes) = bytes.split_first().ok_or(AuditError::Unreadable("it is empty"))?;
    if *version != VERSION {
        return older::decode(*version, bytes);
    }
    let mut input = Decoder::new(bytes, Length::Varying);
    // A struct expression evaluates its fields in the order they are written in: the order of the bytes.
    let record = Record {
        id: DecisionId::from_uuid(Uuid::from_bytes(input.array()?)),
        at: Timestamp::from_micros(i64::from_be_bytes(input.array()?)),
        payload_sha256: input.array()?,
        duration_us: u32::from_be_bytes(input.array()?),
        trace_id: input.option(Decoder::text)?,
        token_sha256: input.option(Decoder::array)?,
        principal: input.option(Decoder::text)?,
        issuer: input.option(Decoder::text)?,
        session: input.option(Decoder::text)?,
        oauth_client: input.option(Decoder::text)?,
        source_ip: input.option(Decoder::text)?,
        path: input.option(Decoder::text)?,
        resource: input.text()?,
        action: input.text()?,
        effect: if input.flag()? { Effect::Allow } else { Effect::Deny },
        enforced: input.flag()?,
        reason: input.reason()?,
        refusals: input.list(Decoder::reason)?,
        policies: input.list(Decoder::text)?,
        policy_errors: input.list(Decoder::text)?,
        detail: input.option(Decoder::text)?,
        risk_score: input.byte()?,
        risk_level: input.byte()?,
        risk_reasons: input.list(Decoder::text)?,
        replica: input.text()?,
        pep: input.parsed("its PEP is no client id")?,
        domain: input.parsed("its domain is none")?,
        bundle: input.option(Decoder::text)?,
        revision: input.text()?,
    };
    if input.is_empty() { Ok(record) } else { Err(AuditError::Unreadable("something follows it")) }
}

struct Encoder<'a>(&'a mut Vec<u8>);

impl Encoder<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    // INVARIANT: `mask` keeps texts and lists far below what four bytes can count.
    fn length(&mut self, length: usize) -> u32 {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        match u8::try_from(length) {
            Ok(short @ ..0x80) => self.0.push(short),
            _ => self.bytes(varint::u32(length, &mut varint::u32_buffer())),
        }
        length
    }

    fn text(&mut self, text: &str) -> Place {
        let length = self.length(text.len());
        let offset = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.bytes(text.as_bytes());
        Place { offset, length }
    }

    fn option(&mut self, text: &Option<Cow<'_, str>>) -> Option<Place> {
        self.flag(text.is_some());
        text.as_ref().map(|text| self.text(text))
    }

    fn list<'a>(&mut self, items: impl ExactSizeIterator<Item = &'a str>) {
        self.length(items.len());
        items.for_each(|item| {
            self.text(item);
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::model::Reason;

    pub(crate) fn sample() -> Record<'static> {
        Record {
            id: "0198c5a0-7b3c-7000-8000-000000000001".parse().unwrap(),
            at: Timestamp::from_micros(1_795_341_600_250_000),
            replica: "replica-1".into(),
            pep: "gateway-1".parse().unwrap(),
            domain: "default".parse().unwrap(),
            principal: Some("User::dev/alice".into()),
            issuer: Some("dev".into()),
            token_sha256: Some([0xab; 32]),
            session: None,
            oauth_client: Some("web".into()),
            action: "get".into(),
            resource: "orders/GET /orders/{id}".into(),
            path: Some("/orders/7?expand=***".into()),
            source_ip: Some("192.0.2.7".into()),
            payload_sha256: [0xcd; 32],
            effect: Effect::Deny,
            enforced: true,
            reason: Reason::StepUpRequired,
            refusals: vec![Reason::StepUpRequired, Reason::NoMatchingPermit],
            policies: vec!["step-up-on-risk".into()],
            policy_errors: vec![],
            detail: None,
            bundle: Some(format!("sha256:{}", "ef".repeat(32)).into()),
            revision: "0000000000000abc.42".into(),
            risk_score: 45,
            risk_level: 2,
            risk_reasons: vec!["new_network: 45".into()],
            duration_us: 812,
            trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        }
    }

    /// If this fails, records that are stored already can no longer be read the same way: make a new version instead.
    #[test]
    fn version_3_has_these_bytes() {
        let bytes = encode(&sample());
        assert_eq!(hex::encode(&bytes[..44]), GOLDEN_HEAD);
        assert_eq!(bytes.len(), GOLDEN_LENGTH);
        assert_eq!(hex::encode(Sha256::digest(&bytes)), GOLDEN_SHA256);
        assert_eq!(decode(&bytes).unwrap(), sample());
    }

    const GOLDEN_HEAD: &str =
        "030198c5a07b3c70008000000000000001000660da8a555890cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd";
    const GOLDEN_LENGTH: usize = 432;
    const GOLDEN_SHA256: &str = "b74b6f024ed6499a32c8fa89c3fecfb56e4e1749e195d2f9dc73bdc9a87ba862";

    #[test]
    fn another_version_is_refused() {
        let mut bytes = encode(&sample());
        bytes[0] = 4;
        assert!(decode(&bytes).unwrap_err().to_string().contains("version"));
    }

    #[test]
    fn something_after_a_record_is_refused() {
        let mut bytes = encode(&sample());
        bytes.push(0);
        assert!(decode(&bytes).unwrap_err().to_string().contains("follows"));
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let bytes = encode(&sample());
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_list_that_claims_to_be_huge_is_refused_without_believing_it() {
        let record = Record { risk_reasons: vec![], ..sample() };
        let mut bytes = encode(&record);
        let replica = bytes.windows(9).position(|window| window == b"replica-1").unwrap();
        // Before it are its length and that of the empty list.
        bytes.splice(replica - 2..replica - 1, varint::u32(u32::MAX, &mut varint::u32_buffer()).to_vec());
        assert!(decode(&bytes).unwrap_err().to_string().contains("too early"));
    }

    #[test]
    fn a_length_that_could_be_written_shorter_is_refused() {
        let bytes = encode(&sample());
        let replica = bytes.windows(9).position(|window| window == b"replica-1").unwrap();
        for longer in [&[0x89, 0x00][..], &[0x89, 0x80, 0x80, 0x80, 0x10]] {
            let mut bytes = bytes.clone();
            bytes.splice(replica - 1..replica, longer.to_vec());
            assert!(decode(&bytes).unwrap_err().to_string().contains("length"), "{longer:?}");
        }
    }

    fn text() -> impl Strategy<Value = Cow<'static, str>> {
        any::<String>().prop_map(Cow::Owned)
    }

    fn maybe() -> impl Strategy<Value = Option<Cow<'static, str>>> {
        option::of(text())
    }

    fn texts() -> impl Strategy<Value = Vec<Cow<'static, str>>> {
        vec(text(), 0..4)
    }

    prop_compose! {
        fn who()(
            (principal, issuer, session, oauth_client, source_ip) in (maybe(), maybe(), maybe(), maybe(), maybe()),
            token_sha256 in option::of(any::<[u8; 32]>()),
            pep in "[a-z][a-z0-9]{0,20}",
        ) -> Record<'static> {
            let pep = pep.parse().unwrap();
            Record { principal, issuer, token_sha256, session, oauth_client, source_ip, pep, ..sample() }
        }
    }

    prop_compose! {
        pub(crate) fn records()(
            base in who(),
            id in any::<u128>(),
            at in any::<i64>(),
            (action, resource, path) in (text(), text(), maybe()),
            (allow, enforced) in any::<(bool, bool)>(),
            reason in select(Reason::ALL.to_vec()),
            refusals in vec(select(Reason::ALL.to_vec()), 0..4),
            (policies, policy_errors, risk_reasons) in (texts(), texts(), texts()),
            (detail, bundle, trace_id) in (maybe(), maybe(), maybe()),
            (risk_score, risk_level, duration_us) in any::<(u8, u8, u32)>(),
        ) -> Record<'static> {
            Record {
                id: DecisionId::from_uuid(Uuid::from_u128(id)),
                at: Timestamp::from_micros(at),
                effect: if allow { Effect::Allow } else { Effect::Deny },
                action, resource, path, enforced, reason, refusals, policies, policy_errors, risk_reasons,
                detail, bundle, trace_id, risk_score, risk_level, duration_us,
                ..base
            }
        }
    }

    proptest! {
        #[test]
        fn every_record_comes_back_as_it_was(record in records()) {
            prop_assert_eq!(decode(&encode(&record)).unwrap(), record);
        }

        #[test]
        fn bytes_that_can_be_read_are_the_bytes_that_would_be_written(
            record in records(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = encode(&record);
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(read) = decode(&bytes) {
                prop_assert_eq!(encode(&read), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
