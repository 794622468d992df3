//! Certificates in PEM (RFC 7468), URL-encoded or not.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;

use super::Read;
use crate::model::CertificateChain;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The client's own certificate and those above it. A plus is a plus, not a space: base64 has pluses.
pub(super) fn read(text: &str) -> Read<CertificateChain> {
    let mut certificates = if text.contains('%') {
        let decoded = percent_decode_str(text).decode_utf8();
        blocks(&decoded.map_err(|_| "the PEM is URL-encoded and not text")?)?
    } else {
        blocks(text)?
    };
    if certificates.is_empty() {
        return Err("the PEM holds no certificate");
    }
    let leaf = certificates.remove(0);
    Ok(CertificateChain::forwarded(leaf, certificates))
}

/// Nothing but certificates: text around them is a sign that something else was passed on, a key for example.
fn blocks(text: &str) -> Read<Vec<Vec<u8>>> {
    let mut certificates = Vec::new();
    let mut rest = text.trim_ascii();
    while !rest.is_empty() {
        let body = rest.strip_prefix(BEGIN).ok_or("the PEM holds more than certificates")?;
        let (body, after) = body.split_once(END).ok_or("a certificate in PEM does not end")?;
        let base64: String = body.split_ascii_whitespace().collect();
        let der = BASE64_STANDARD.decode(base64).map_err(|_| "a certificate in PEM is not base64")?;
        if der.is_empty() {
            return Err("a certificate in PEM is empty");
        }
        certificates.push(der);
        rest = after.trim_ascii_start();
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pem(der: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(der))
    }

    fn encoded(text: &str) -> String {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    }

    #[test]
    fn plain_and_url_encoded_text_are_the_same_certificates() {
        let text = pem(&[1, 0xfb, 0xff]) + &pem(&[2]);
        let wanted = CertificateChain::forwarded(vec![1, 0xfb, 0xff], vec![vec![2]]);
        assert_eq!(read(&text).as_ref(), Ok(&wanted));
        assert_eq!(read(&encoded(&text)).as_ref(), Ok(&wanted));
        assert_eq!(read(&text.replace('\n', "\r\n\t")).as_ref(), Ok(&wanted), "folded as nginx does");
    }

    #[test]
    fn anything_beside_certificates_is_refused() {
        let good = pem(&[1]);
        for wrong in [
            String::new(),
            "x".to_owned(),
            format!("subject=alice\n{good}"),
            format!("{good}x"),
            good.replace("CERTIFICATE", "PRIVATE KEY"),
            good.replace("BEGIN", "begin"),
            good.replace(END, ""),
            format!("{BEGIN}{END}"),
            format!("{BEGIN}\nA!==\n{END}"),
            format!("{BEGIN}\nProc-Type: 4\n\nAQ==\n{END}"),
            format!("{BEGIN}{good}"),
            format!("{good}%ff"),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(-----BEGIN CERTIFICATE-----|-----END CERTIFICATE-----|%[0-9a-f]{2}|.){0,20}") {
            let _ = read(&text);
        }
    }
}
