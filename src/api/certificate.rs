//! A client's certificate as gateways pass it on: PEM, Envoy's `x-forwarded-client-cert`, and RFC 9440.
//!
//! Each form has one reading here. What two readers could take for two certificates is refused: whoever can smuggle in an
//! element chooses who they are. What is in a certificate, and whether it is believed, is left to `identity`.

mod pem;
mod xfcc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::pb::decision as pb;
use crate::model::{CertificateChain, ClientCertificate};

/// A part of a certificate, or why it cannot be read.
type Read<T> = Result<T, &'static str>;

/// What the gateway passed on, or `own`, the certificate of its connection, if it means that.
pub fn read(certificate: Option<pb::ClientCertificate>, own: Option<&CertificateChain>) -> ClientCertificate {
    let Some(certificate) = certificate else { return ClientCertificate::None };
    one(certificate, own).unwrap_or_else(ClientCertificate::Malformed)
}

fn one(certificate: pb::ClientCertificate, own: Option<&CertificateChain>) -> Read<ClientCertificate> {
    use pb::client_certificate::Form;
    let pb::ClientCertificate { form, chain, client_cert_chain } = certificate;
    let form = form.ok_or("the client certificate is empty")?;
    if !chain.is_empty() && !matches!(form, Form::Der(_)) {
        return Err("a chain in DER goes with a certificate in DER");
    }
    if !client_cert_chain.is_empty() && !matches!(form, Form::ClientCert(_)) {
        return Err("Client-Cert-Chain goes with Client-Cert");
    }
    match form {
        Form::Pem(text) => pem::read(&text).map(ClientCertificate::Chain),
        Form::Der(leaf) => of(leaf, chain),
        Form::Xfcc(value) => xfcc::read(&value),
        Form::ClientCert(value) => of(byte_sequence(&value)?, byte_sequences(&client_cert_chain)?),
        Form::Own(_) => Ok(own.cloned().map_or(ClientCertificate::NotShown, ClientCertificate::Chain)),
    }
}

fn of(leaf: Vec<u8>, above: Vec<Vec<u8>>) -> Read<ClientCertificate> {
    if leaf.is_empty() || above.iter().any(Vec::is_empty) {
        return Err("the client certificate is empty");
    }
    Ok(ClientCertificate::Chain(CertificateChain::forwarded(leaf, above)))
}

/// The value of `Client-Cert` (RFC 9440 section 2.2): one byte sequence, without parameters. A header that came twice was
/// joined with a comma, which no base64 holds.
fn byte_sequence(value: &str) -> Read<Vec<u8>> {
    let inside = value.trim_matches([' ', '\t']).strip_prefix(':').and_then(|rest| rest.strip_suffix(':'));
    let inside = inside.ok_or("Client-Cert is not one byte sequence")?;
    BASE64_STANDARD.decode(inside).map_err(|_| "Client-Cert is not one byte sequence")
}

/// The value of `Client-Cert-Chain` (RFC 9440 section 2.3): a list of byte sequences.
fn byte_sequences(value: &str) -> Read<Vec<Vec<u8>>> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let each = value.split(',').map(byte_sequence);
    each.collect::<Read<_>>().map_err(|_| "Client-Cert-Chain is not a list of byte sequences")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(leaf: &[u8], above: &[&[u8]]) -> ClientCertificate {
        let above = above.iter().map(|der| der.to_vec()).collect();
        ClientCertificate::Chain(CertificateChain::forwarded(leaf.to_vec(), above))
    }

    fn passed_on(certificate: pb::ClientCertificate) -> ClientCertificate {
        read(Some(certificate), None)
    }

    fn headers(one: &str, others: &str) -> ClientCertificate {
        passed_on(pb::ClientCertificate {
            form: Some(pb::client_certificate::Form::ClientCert(one.to_owned())),
            client_cert_chain: others.to_owned(),
            ..pb::ClientCertificate::default()
        })
    }

    #[test]
    fn the_connections_own_is_taken_from_the_connection_alone() {
        let own = CertificateChain { leaf: vec![1], above: vec![vec![2]], own: true };
        let meant = |chain: Vec<Vec<u8>>| {
            let form = Some(pb::client_certificate::Form::Own(pb::OwnCertificate {}));
            Some(pb::ClientCertificate { form, chain, ..pb::ClientCertificate::default() })
        };
        assert_eq!(read(meant(Vec::new()), Some(&own)), ClientCertificate::Chain(own.clone()));
        assert_eq!(read(meant(Vec::new()), None), ClientCertificate::NotShown);
        assert_eq!(read(None, Some(&own)), ClientCertificate::None, "it must be meant");
        assert!(matches!(read(meant(vec![vec![3]]), Some(&own)), ClientCertificate::Malformed(_)));
    }

    #[test]
    fn headers_of_rfc_9440_are_read() {
        assert_eq!(headers(":AQID:", ""), chain(&[1, 2, 3], &[]));
        assert_eq!(headers(":AQID:", ":BA==:, :BQ==:"), chain(&[1, 2, 3], &[&[4], &[5]]));
        for (one, others) in [
            ("", ""),
            ("::", ""),
            ("AQID", ""),
            (":AQID", ""),
            (":AQID:, :BA==:", ""),
            (":AQID:;a=1", ""),
            (":A Q I D:", ""),
            (":AQID", ":BA==:"),
            (":AQID:", "BA=="),
            (":AQID:", ":BA==:,"),
            (":AQID:", "::"),
            (":AQ:", ""),
            (":_-AA:", ""),
        ] {
            assert!(matches!(headers(one, others), ClientCertificate::Malformed(_)), "{one} {others}");
        }
    }

    #[test]
    fn parts_of_two_forms_do_not_mix() {
        use pb::client_certificate::Form;
        let mixed = |form: Option<Form>, der: bool, header: bool| pb::ClientCertificate {
            form,
            chain: if der { vec![vec![4]] } else { Vec::new() },
            client_cert_chain: if header { ":BA==:".to_owned() } else { String::new() },
        };
        assert_eq!(passed_on(mixed(Some(Form::Der(vec![1])), true, false)), chain(&[1], &[&[4]]));
        for wrong in [
            mixed(None, false, false),
            mixed(None, true, false),
            mixed(Some(Form::Der(vec![1])), true, true),
            mixed(Some(Form::ClientCert(":AQID:".into())), true, false),
            mixed(Some(Form::Der(Vec::new())), false, false),
            mixed(Some(Form::Pem(String::new())), false, false),
        ] {
            assert!(matches!(passed_on(wrong.clone()), ClientCertificate::Malformed(_)), "{wrong:?}");
        }
        assert_eq!(read(None, None), ClientCertificate::None);
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(one in ".{0,80}", others in ".{0,80}") {
            let _ = headers(&one, &others);
        }

        #[test]
        fn what_was_written_is_read(der in proptest::collection::vec(any::<u8>(), 1..200)) {
            let text = format!(":{}:", BASE64_STANDARD.encode(&der));
            prop_assert_eq!(headers(&text, ""), chain(&der, &[]));
        }
    }
}
