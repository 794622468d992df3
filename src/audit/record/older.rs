//! Versions of records that are no longer written: what a trail holds of them is still read.
//!
//! In version 2 the fields stand in the order of [`Record`], and lengths take four bytes, big-endian. Version 1 held the
//! two digests as hexadecimal text.

use uuid::Uuid;

use super::AuditError;
use super::decoder::{Decoder, Length};
use crate::model::{DecisionId, Effect, Record, Timestamp};

/// Digests are text in it.
pub(super) const VERSION_1: u8 = 1;

pub(super) const VERSION_2: u8 = 2;

/// What follows the version.
pub(super) fn decode(version: u8, bytes: &[u8]) -> Result<Record<'static>, AuditError> {
    let mut input = Decoder::new(bytes, Length::Four);
    let digest = match version {
        VERSION_2 => Decoder::array::<32>,
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
        principal: input.option(Decoder::text)?,
        issuer: input.option(Decoder::text)?,
        token_sha256: input.option(digest)?,
        session: input.option(Decoder::text)?,
        oauth_client: input.option(Decoder::text)?,
        action: input.text()?,
        resource: input.text()?,
        path: input.option(Decoder::text)?,
        source_ip: input.option(Decoder::text)?,
        payload_sha256: digest(&mut input)?,
        effect: if input.flag()? { Effect::Allow } else { Effect::Deny },
        enforced: input.flag()?,
        reason: input.reason()?,
        refusals: input.list(Decoder::reason)?,
        policies: input.list(Decoder::text)?,
        policy_errors: input.list(Decoder::text)?,
        detail: input.option(Decoder::text)?,
        bundle: input.option(Decoder::text)?,
        revision: input.text()?,
        risk_score: input.byte()?,
        risk_level: input.byte()?,
        risk_reasons: input.list(Decoder::text)?,
        duration_us: u32::from_be_bytes(input.array()?),
        trace_id: input.option(Decoder::text)?,
    };
    if input.is_empty() { Ok(record) } else { Err(AuditError::Unreadable("something follows it")) }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::audit::record::decode;
    use crate::audit::record::tests::sample;

    /// The sample as version 2 wrote it.
    const WRITTEN: [&str; 11] = [
        "020198c5a07b3c70008000000000000001000660da8a555890000000097265706c6963612d3100000009676174657761",
        "792d310000000764656661756c74010000000f557365723a3a6465762f616c696365010000000364657601ababababab",
        "ababababababababababababababababababababababababababab00010000000377656200000003676574000000176f",
        "72646572732f474554202f6f72646572732f7b69647d01000000142f6f72646572732f373f657870616e643d2a2a2a01",
        "000000093139322e302e322e37cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd000100",
        "000010737465705f75705f72657175697265640000000200000010737465705f75705f7265717569726564000000126e",
        "6f5f6d61746368696e675f7065726d6974000000010000000f737465702d75702d6f6e2d7269736b0000000000010000",
        "00477368613235363a656665666566656665666566656665666566656665666566656665666566656665666566656665",
        "6665666566656665666566656665666566656665666566656600000013303030303030303030303030306162632e3432",
        "2d02000000010000000f6e65775f6e6574776f726b3a2034350000032c01000000203061663736353139313663643433",
        "646438343438656232313163383033313963",
    ];

    fn version_2() -> Vec<u8> {
        hex::decode(WRITTEN.concat()).unwrap()
    }

    /// The same as version 1 wrote it.
    fn version_1() -> Vec<u8> {
        let mut bytes = version_2();
        bytes[0] = VERSION_1;
        for digest in [[0xab; 32], [0xcd; 32]] {
            let at = bytes.windows(32).position(|window| window == digest).unwrap();
            let text = [&64_u32.to_be_bytes(), hex::encode(digest).as_bytes()].concat();
            bytes.splice(at..at + 32, text);
        }
        bytes
    }

    #[test]
    fn version_2_is_read_from_these_bytes() {
        assert_eq!(decode(&version_2()).unwrap(), sample());
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
    fn a_record_cut_anywhere_is_refused() {
        for bytes in [version_1(), version_2()] {
            for length in 0..bytes.len() {
                assert!(decode(&bytes[..length]).is_err(), "{length}");
            }
            assert!(decode(&[bytes.as_slice(), &[0]].concat()).unwrap_err().to_string().contains("follows"));
        }
    }
}
