//! Envoy's `x-forwarded-client-cert`: elements separated by commas, pairs by semicolons, values in quotes or not.
//!
//! A proxy that appends adds its element behind those that the client may have sent itself. Which one is true depends on how
//! many proxies there are and what each was told, so a header with more than one element is refused.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::{Read, pem};
use crate::model::{CertificateChain, ClientCertificate};

/// The certificate of the one element: `Cert` and `Chain` where they are, or else `Hash`.
pub(super) fn read(value: &str) -> Read<ClientCertificate> {
    let mut element = Element::default();
    for (key, value) in pairs(value)? {
        element.add(&key, value)?;
    }
    element.certificate()
}

/// The three values that are read, each at most once. All others are what the proxy made of the certificate.
#[derive(Default)]
struct Element {
    hash: Option<String>,
    cert: Option<String>,
    chain: Option<String>,
}

impl Element {
    /// Keys are read in any case, as Envoy writes and others change them.
    fn add(&mut self, key: &str, value: String) -> Read<()> {
        let place = match key.to_ascii_lowercase().as_str() {
            "hash" => &mut self.hash,
            "cert" => &mut self.cert,
            "chain" => &mut self.chain,
            _ => return Ok(()),
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err("x-forwarded-client-cert says one thing twice"),
        }
    }

    /// What is said in several ways must be about one certificate.
    fn certificate(self) -> Read<ClientCertificate> {
        let cert = self.cert.as_deref().map(pem::read).transpose()?;
        let chain = self.chain.as_deref().map(pem::read).transpose()?;
        let hash = self.hash.as_deref().map(digest).transpose()?;
        let Some(all) = together(cert, chain)? else {
            let hash = hash.ok_or("x-forwarded-client-cert holds none of Cert, Chain and Hash")?;
            return Ok(ClientCertificate::Digest(hash));
        };
        if hash.is_some_and(|hash| hash != *Sha256::digest(&all.leaf)) {
            return Err("Hash of x-forwarded-client-cert is of another certificate");
        }
        Ok(ClientCertificate::Chain(all))
    }
}

/// Envoy's chain begins with the client's own certificate.
fn together(
    cert: Option<CertificateChain>,
    chain: Option<CertificateChain>,
) -> Read<Option<CertificateChain>> {
    match (cert, chain) {
        (Some(cert), _) if !cert.above.is_empty() => {
            Err("Cert of x-forwarded-client-cert is more than one certificate")
        }
        (Some(cert), Some(chain)) if cert.leaf != chain.leaf => {
            Err("Cert and Chain of x-forwarded-client-cert are of two clients")
        }
        (cert, chain) => Ok(chain.or(cert)),
    }
}

fn digest(hash: &str) -> Read<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hash, &mut bytes).map_err(|_| "Hash of x-forwarded-client-cert is no SHA-256")?;
    Ok(bytes)
}

/// The pairs of the only element.
fn pairs(text: &str) -> Read<Vec<(Cow<'_, str>, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text;
    loop {
        let (key, after) =
            rest.split_once('=').ok_or("x-forwarded-client-cert has a part without a value")?;
        // A separator or a quote here belongs to something that this is not the key of.
        if key.is_empty() || key.contains([',', ';', '"', '\\']) {
            return Err("x-forwarded-client-cert has a part without a value, or more than one element");
        }
        let (value, after) = self::value(after)?;
        pairs.push((Cow::Borrowed(key.trim_matches([' ', '\t'])), value));
        match after.strip_prefix(';') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(pairs),
            None => return Err("x-forwarded-client-cert holds more than one element"),
        }
    }
}

/// A value and what follows it.
fn value(text: &str) -> Read<(String, &str)> {
    match text.strip_prefix('"') {
        Some(inside) => quoted(inside),
        None => {
            let (value, after) = text.split_at(text.find([';', ',']).unwrap_or(text.len()));
            if value.contains(['"', '\\']) {
                return Err("x-forwarded-client-cert has a quote inside a value");
            }
            Ok((value.to_owned(), after))
        }
    }
}

/// A value in quotes, after the first: a quote inside is written with a backslash.
fn quoted(text: &str) -> Read<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let stop = rest.find(['"', '\\']).ok_or("x-forwarded-client-cert has a quote that does not end")?;
        let (plain, special) = rest.split_at(stop);
        value.push_str(plain);
        if let Some(after) = special.strip_prefix('"') {
            return Ok((value, after));
        }
        let mut escaped = special.chars();
        escaped.next();
        value.push(escaped.next().ok_or("x-forwarded-client-cert has a quote that does not end")?);
        rest = escaped.as_str();
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn cert(der: &[u8]) -> String {
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            BASE64_STANDARD.encode(der)
        );
        percent_encoding::utf8_percent_encode(&pem, percent_encoding::NON_ALPHANUMERIC).to_string()
    }

    fn chain(leaf: &[u8], above: &[&[u8]]) -> ClientCertificate {
        let above = above.iter().map(|der| der.to_vec()).collect();
        ClientCertificate::Chain(CertificateChain::forwarded(leaf.to_vec(), above))
    }

    fn hash() -> String {
        "ab".repeat(32)
    }

    #[test]
    fn what_envoy_writes_is_read() {
        let (one, two) = (cert(&[1, 2]), cert(&[1, 2]) + &cert(&[3]));
        let hash = hash();
        for (text, wanted) in [
            (
                format!("By=spiffe://a/b;Hash={hash};Subject=\"\";URI=spiffe://a/c"),
                ClientCertificate::Digest([0xab; 32]),
            ),
            (format!("Hash={};Cert=\"{one}\"", hex::encode(Sha256::digest([1, 2]))), chain(&[1, 2], &[])),
            (format!("Cert=\"{one}\";Chain=\"{two}\""), chain(&[1, 2], &[&[3]])),
            (format!("Chain=\"{two}\""), chain(&[1, 2], &[&[3]])),
            (format!("cert={one}"), chain(&[1, 2], &[])),
            (
                format!("Subject=\"CN=a,O=\\\"b;c\\\",URI=x\";Hash={hash};DNS=a;DNS=b"),
                ClientCertificate::Digest([0xab; 32]),
            ),
        ] {
            assert_eq!(read(&text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn no_second_element_gets_in() {
        let (one, two, hash) = (cert(&[1]), cert(&[2]), hash());
        for text in [
            format!("Hash={hash},Hash={hash}"),
            format!("Hash={hash}, By=x;Hash={hash}"),
            format!("Hash={hash};Hash={hash}"),
            format!("HASH={hash};Hash={hash}"),
            format!("Cert=\"{one}\";Cert=\"{two}\""),
            format!("Cert=\"{one}\",Cert=\"{two}\""),
            format!("Cert=\"{one}\";Chain=\"{two}\""),
            format!("Cert=\"{one}\";Hash={hash}"),
            format!("Subject=\"a\",Hash={hash}"),
            format!("Subject=\"a\\\";Hash={hash}"),
            format!("Subject=a\"b;Hash={hash}\""),
            format!("Subject=\"a\"b;Hash={hash}"),
            format!("Subject;Hash={hash}"),
            format!(",Hash={hash}"),
            format!(";Hash={hash}"),
            format!("Hash={hash};"),
            format!("Hash={hash},"),
            "Hash=abcd".to_owned(),
            "Hash=".to_owned(),
            "URI=spiffe://a/b".to_owned(),
            "Cert=\"\"".to_owned(),
            String::new(),
        ] {
            assert!(read(&text).is_err(), "{text}: {:?}", read(&text));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(Hash=|Cert=|Chain=|[,;\"\\\\=]|[ab]{64}|.){0,24}") {
            let _ = read(&text);
        }

        /// Whatever stands in the subject of a certificate, which its owner may choose, it stays there.
        #[test]
        fn a_value_in_quotes_cannot_break_out(subject in ".{0,60}") {
            let written = subject.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("Subject=\"{written}\";Hash={}", hash());
            prop_assert_eq!(read(&text), Ok(ClientCertificate::Digest([0xab; 32])));
            let pairs = pairs(&text).unwrap();
            prop_assert_eq!(pairs[0].1.as_str(), subject);
        }

        /// Two elements are never one.
        #[test]
        fn an_element_before_or_behind_is_refused(other in "[A-Za-z]{1,8}=[a-z0-9:/.]{0,20}") {
            let own = format!("Hash={}", hash());
            let (before, behind) = (format!("{other},{own}"), format!("{own},{other}"));
            prop_assert!(read(&before).is_err() && read(&behind).is_err());
        }
    }
}
