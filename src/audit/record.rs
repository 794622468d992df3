//! The canonical bytes of a record: one record, one byte string, for ever.
//!
//! A version byte, then the fields of [`Record`] in their order. Numbers are big-endian; text is its length in four
//! bytes and UTF-8; an optional field is 0, or 1 and the value; a list is its length in four bytes and its items;
//! reasons stand as their names. What is written as a version never changes: a new field is a new version. Version 1,
//! which held its two digests as hexadecimal text, is still read.

use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

use uuid::Uuid;

use super::AuditError;
use crate::model::{DecisionId, Effect, Reason, Record, Timestamp};

/// The version that [`encode`] writes.
pub const VERSION: u8 = 2;

/// Digests are text in it.
const VERSION_1: u8 = 1;

pub fn encode(record: &Record<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(1_024);
    encode_to(record, &mut out);
    out
}

/// Where in its bytes a record has the texts that it is found by.
#[derive(Debug)]
pub(super) struct Names {
    pub pep: Range<usize>,
    pub principal: Option<Range<usize>>,
    pub resource: Range<usize>,
}

/// As [`encode`], into a place that is empty.
pub(super) fn encode_to(record: &Record<'_>, out: &mut Vec<u8>) -> Names {
    let mut out = Encoder(out);
    out.bytes(&[VERSION]);
    out.bytes(record.id.uuid().as_bytes());
    out.bytes(&record.at.micros().to_be_bytes());
    out.text(&record.replica);
    let pep = out.text(record.pep.as_str());
    out.text(record.domain.as_str());
    let principal = out.option(&record.principal);
    out.option(&record.issuer);
    out.flag(record.token_sha256.is_some());
    record.token_sha256.iter().for_each(|digest| out.bytes(digest));
    out.option(&record.session);
    out.option(&record.oauth_client);
    out.text(&record.action);
    let resource = out.text(&record.resource);
    out.option(&record.path);
    out.option(&record.source_ip);
    out.bytes(&record.payload_sha256);
    out.flag(record.effect == Effect::Allow);
    out.flag(record.enforced);
    out.text(record.reason.as_str());
    out.list(record.refusals.iter().map(|reason| reason.as_str()));
    out.list(record.policies.iter().map(AsRef::as_ref));
    out.list(record.policy_errors.iter().map(AsRef::as_ref));
    out.option(&record.detail);
    out.option(&record.bundle);
    out.text(&record.revision);
    out.bytes(&[record.risk_score, record.risk_level]);
    out.list(record.risk_reasons.iter().map(AsRef::as_ref));
    out.bytes(&record.duration_us.to_be_bytes());
    out.option(&record.trace_id);
    Names { pep, principal, resource }
}

/// Fails on another version, on anything missing, left over or out of range: only what [`encode`] writes is read.
pub fn decode(bytes: &[u8]) -> Result<Record<'static>, AuditError> {
    let mut input = Decoder(bytes);
    let digest = match input.byte()? {
        VERSION => Decoder::array::<32>,
        VERSION_1 => Decoder::hex_digest,
        _ => return Err(AuditError::Unreadable("its version is unknown")),
    };
    // A struct expression evaluates its fields in the order they are written in: the order of the bytes.
    let record = Record {
        id: DecisionId::from_uuid(Uuid::from_bytes(input.array()?)),
        at: Timestamp::from_micros(i64::from_be_bytes(input.array()?)),
        replica: input.text()?,
        pep: input.parsed("its PEP is no client id")?,
        domain: input.parsed("its domain is none")?,
        principal: input.option()?,
        issuer: input.option()?,
        token_sha256: if input.flag()? { Some(digest(&mut input)?) } else { None },
        session: input.option()?,
        oauth_client: input.option()?,
        action: input.text()?,
        resource: input.text()?,
        path: input.option()?,
        source_ip: input.option()?,
        payload_sha256: digest(&mut input)?,
        effect: if input.flag()? { Effect::Allow } else { Effect::Deny },
        enforced: input.flag()?,
        reason: input.reason()?,
        refusals: input.list(Decoder::reason)?,
        policies: input.list(Decoder::text)?,
        policy_errors: input.list(Decoder::text)?,
        detail: input.option()?,
        bundle: input.option()?,
        revision: input.text()?,
        risk_score: input.byte()?,
        risk_level: input.byte()?,
        risk_reasons: input.list(Decoder::text)?,
        duration_us: u32::from_be_bytes(input.array()?),
        trace_id: input.option()?,
    };
    if input.0.is_empty() { Ok(record) } else { Err(AuditError::Unreadable("something follows it")) }
}

struct Encoder<'a>(&'a mut Vec<u8>);

impl Encoder<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn flag(&mut self, flag: bool) {
        self.bytes(&[u8::from(flag)]);
    }

    // INVARIANT: `mask` keeps texts and lists far below what four bytes can count.
    fn length(&mut self, length: usize) {
        self.bytes(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }

    /// Tells where the text is.
    fn text(&mut self, text: &str) -> Range<usize> {
        self.length(text.len());
        let begin = self.0.len();
        self.bytes(text.as_bytes());
        begin..self.0.len()
    }

    fn option(&mut self, text: &Option<Cow<'_, str>>) -> Option<Range<usize>> {
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

struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], AuditError> {
        let halves = self.0.split_at_checked(length);
        let (taken, rest) = halves.ok_or(AuditError::Unreadable("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AuditError> {
        self.take(N)?.try_into().map_err(|_| AuditError::Unreadable("it ends too early"))
    }

    fn byte(&mut self) -> Result<u8, AuditError> {
        self.array().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Result<bool, AuditError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(AuditError::Unreadable("a flag is neither 0 nor 1")),
        }
    }

    fn length(&mut self) -> Result<usize, AuditError> {
        let length = u32::from_be_bytes(self.array()?);
        usize::try_from(length).map_err(|_| AuditError::Unreadable("it ends too early"))
    }

    fn text(&mut self) -> Result<Cow<'static, str>, AuditError> {
        let length = self.length()?;
        let text = std::str::from_utf8(self.take(length)?);
        text.map(|text| Cow::Owned(text.to_owned()))
            .map_err(|_| AuditError::Unreadable("a text is not UTF-8"))
    }

    fn hex_digest(&mut self) -> Result<[u8; 32], AuditError> {
        let mut digest = [0; 32];
        let read = hex::decode_to_slice(&*self.text()?, &mut digest);
        read.map(|()| digest).map_err(|_| AuditError::Unreadable("a digest is none"))
    }

    fn parsed<T: FromStr>(&mut self, trouble: &'static str) -> Result<T, AuditError> {
        self.text()?.parse().map_err(|_| AuditError::Unreadable(trouble))
    }

    fn option(&mut self) -> Result<Option<Cow<'static, str>>, AuditError> {
        if self.flag()? { self.text().map(Some) } else { Ok(None) }
    }

    fn reason(&mut self) -> Result<Reason, AuditError> {
        Reason::parse(&self.text()?).ok_or(AuditError::Unreadable("a reason is unknown"))
    }

    fn list<T>(&mut self, item: fn(&mut Self) -> Result<T, AuditError>) -> Result<Vec<T>, AuditError> {
        let length = self.length()?;
        // Not reserved up front: the length is believed only as far as items follow.
        (0..length).map(|_| item(self)).collect()
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
    fn version_2_has_these_bytes() {
        let bytes = encode(&sample());
        assert_eq!(hex::encode(&bytes[..44]), GOLDEN_HEAD);
        assert_eq!(bytes.len(), GOLDEN_LENGTH);
        assert_eq!(hex::encode(Sha256::digest(&bytes)), GOLDEN_SHA256);
        assert_eq!(decode(&bytes).unwrap(), sample());
    }

    const GOLDEN_HEAD: &str =
        "020198c5a07b3c70008000000000000001000660da8a555890000000097265706c6963612d31000000096761";
    const GOLDEN_LENGTH: usize = 498;
    const GOLDEN_SHA256: &str = "10e90f9054f787e2d57f313a0068b7102de891309562212b62646938a4b833a1";

    /// The sample as version 1 wrote it.
    fn version_1() -> Vec<u8> {
        let mut bytes = encode(&sample());
        bytes[0] = VERSION_1;
        for digest in [[0xab; 32], [0xcd; 32]] {
            let at = bytes.windows(32).position(|window| window == digest).unwrap();
            let text = [&64_u32.to_be_bytes(), hex::encode(digest).as_bytes()].concat();
            bytes.splice(at..at + 32, text);
        }
        bytes
    }

    #[test]
    fn version_1_is_read_from_these_bytes() {
        let bytes = version_1();
        let sha256 = "c8dbc00abbb1fd42ed6982f8045abc688daec2b8972d18b61f6d4cb4eba9f068";
        assert_eq!((bytes.len(), hex::encode(Sha256::digest(&bytes)).as_str()), (570, sha256));
        assert_eq!(decode(&bytes).unwrap(), sample());
        let torn = String::from_utf8_lossy(&bytes).find("abab").unwrap();
        let mut bytes = version_1();
        bytes[torn] = b'x';
        assert!(decode(&bytes).unwrap_err().to_string().contains("digest"));
    }

    #[test]
    fn another_version_is_refused() {
        let mut bytes = encode(&sample());
        bytes[0] = 3;
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
        let mut record = sample();
        record.trace_id = None;
        record.risk_reasons = vec![];
        let mut bytes = encode(&record);
        let end = bytes.len();
        // The empty list is followed by four bytes of duration and the absent trace.
        bytes[end - 9..end - 5].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(decode(&bytes).is_err());
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
