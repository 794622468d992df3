//! Client certificates as gateways pass them on: what is read is what was written, and a token that is bound to it is good
//! with that certificate and no other.
//!
//! As text: a line with the form, `pem`, `xfcc`, `client-cert` or `der`, and the value. Of `client-cert` a second line is
//! the chain; of `der` each line is a certificate in base64. What follows `svid` are drafts of certificates (`svid.rs`).

use std::path::Path;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use deodar::api::client_certificate;
use deodar::api::pb::decision as pb;
use deodar::identity::{CacheConfig, Config, Identity, IdentityRefusal, IssuerConfig, Presented};
use deodar::model::{CertificateChain, ClientCertificate, Credential, Secret, Timestamp};
use pb::client_certificate::Form;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::random::Random;
use super::token::{CORP, NOW, assert_discreet};
use super::{Verdict, keys, svid};

pub const FORMS: [&str; 5] = ["pem", "xfcc", "client-cert", "der", "svid"];

static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let mut issuer = IssuerConfig::new("corp".parse().unwrap(), CORP, vec!["orders".into()]);
    issuer.jwks = Some(keys::CORP.public_jwks());
    let cache = CacheConfig { max_tokens: 0, ..CacheConfig::default() };
    Identity::new(&Config { issuers: vec![issuer], cache, ..Config::default() }, Path::new("/")).unwrap()
});

/// Judges a certificate as it was passed on, and asserts that it was judged right.
pub fn judge(data: &[u8]) -> Verdict {
    let Some((form, value)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else {
        return Verdict::Refused;
    };
    if form == "svid" {
        return svid::judge(value);
    }
    let Some(message) = message(form, value) else { return Verdict::Refused };
    match client_certificate(Some(message)) {
        ClientCertificate::None | ClientCertificate::NotShown => {
            panic!("a certificate came, and none was read")
        }
        ClientCertificate::Malformed(why) => {
            assert!(!why.is_empty());
            Verdict::Refused
        }
        ClientCertificate::Digest(digest) => {
            assert_eq!(form, "xfcc");
            assert!(value.to_ascii_lowercase().contains(&hex(&digest)), "a digest that nobody wrote");
            assert_one_element(value);
            assert_bound(&ClientCertificate::Digest(digest), digest)
        }
        ClientCertificate::Chain(chain) => {
            assert_written(form, value, &chain);
            let digest = Sha256::digest(&chain.leaf).into();
            assert_bound(&ClientCertificate::Chain(chain), digest)
        }
    }
}

fn message(form: &str, value: &str) -> Option<pb::ClientCertificate> {
    let of = |form| pb::ClientCertificate { form: Some(form), ..pb::ClientCertificate::default() };
    match form {
        "pem" => Some(of(Form::Pem(value.to_owned()))),
        "xfcc" => Some(of(Form::Xfcc(value.to_owned()))),
        "client-cert" => {
            let (leaf, above) = value.split_once('\n').unwrap_or((value, ""));
            Some(pb::ClientCertificate {
                client_cert_chain: above.to_owned(),
                ..of(Form::ClientCert(leaf.to_owned()))
            })
        }
        "der" => {
            let mut all =
                value.lines().map(|line| BASE64_STANDARD.decode(line).unwrap_or_else(|_| line.into()));
            let leaf = all.next()?;
            Some(pb::ClientCertificate { chain: all.collect(), ..of(Form::Der(leaf)) })
        }
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a certificate as Envoy writes it.
pub fn hash(der: &[u8]) -> String {
    hex(&Sha256::digest(der))
}

/// Every certificate that was read stands in the text, in this order, and nothing else does.
fn assert_written(form: &str, value: &str, chain: &CertificateChain) {
    let all: Vec<String> = chain.all().map(|der| BASE64_STANDARD.encode(der)).collect();
    assert!(all.iter().all(|one| !one.is_empty()), "an empty certificate");
    match form {
        "client-cert" => {
            let (leaf, above) = value.split_once('\n').unwrap_or((value, ""));
            let plain = |text: &str| text.replace([' ', '\t'], "");
            assert_eq!(plain(leaf), format!(":{}:", all[0]));
            let rest: Vec<String> = all[1..].iter().map(|one| format!(":{one}:")).collect();
            assert_eq!(plain(above), rest.join(","));
        }
        "xfcc" => assert_one_element(value),
        "pem" => {
            let text = unescaped(value);
            let body: String =
                text.replace("-----BEGIN CERTIFICATE-----", "").split_ascii_whitespace().collect();
            let written: Vec<&str> = body.split_terminator("-----ENDCERTIFICATE-----").collect();
            assert_eq!(written, all, "other certificates than were written");
        }
        _ => {}
    }
}

/// What `%41` stands for, where a text holds any.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = std::str::from_utf8(after.get(..2).unwrap_or_default()).ok().filter(|_| *first == b'%');
        let byte = escape
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).unwrap()
}

/// A comma outside quotes would begin a second element.
fn assert_one_element(value: &str) {
    let (mut quoted, mut escaped) = (false, false);
    for letter in value.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' => assert!(quoted, "two elements were taken for one"),
            _ => {}
        }
    }
    assert!(!quoted && !escaped, "a quote does not end");
}

/// A token that is bound to this digest, whatever it is a digest of.
fn token(digest: [u8; 32]) -> String {
    let now = NOW.seconds();
    let claims = json!({
        "iss": CORP, "sub": "alice", "aud": "orders", "client_id": "spa", "jti": "t-1", "iat": now, "exp": now + 300,
        "cnf": { "x5t#S256": BASE64_URL_SAFE_NO_PAD.encode(digest) },
    });
    let header = json!({ "typ": "at+jwt", "alg": "EdDSA" });
    keys::CORP.sign_text(&header.to_string(), &claims.to_string()).unwrap()
}

fn ask(token: &str, certificate: &ClientCertificate, now: Timestamp) -> Result<(), IdentityRefusal> {
    let credential = Credential::Bearer(Secret::new(token));
    let known =
        IDENTITY.examine_for(&Presented { credential: &credential, certificate, target: None }, now)?;
    assert!(known.principal.token.as_ref().unwrap().sender_constrained);
    Ok(())
}

/// The token is good with this certificate only, and only if the certificate is one and in time.
fn assert_bound(certificate: &ClientCertificate, digest: [u8; 32]) -> Verdict {
    let bound = token(digest);
    let mut other = digest;
    other[0] ^= 1;
    assert!(ask(&token(other), certificate, NOW).is_err(), "bound to another certificate");
    for else_shown in
        [ClientCertificate::None, ClientCertificate::Digest(other), ClientCertificate::Malformed("no")]
    {
        assert!(ask(&bound, &else_shown, NOW).is_err(), "accepted with {else_shown:?}");
    }
    if let Err(refusal) = ask(&bound, certificate, NOW) {
        assert_discreet(&bound, &refusal);
        assert!(matches!(certificate, ClientCertificate::Chain(_)), "a digest says no more than it is");
        return Verdict::Refused;
    }
    if let ClientCertificate::Chain(chain) = certificate {
        assert_whole(&chain.leaf);
        assert_no_longer(chain);
        svid::judge_alone(chain);
    }
    Verdict::Accepted
}

/// One DER value from the first byte to the last.
fn assert_whole(der: &[u8]) {
    let [0x30, first, after @ ..] = der else { panic!("no sequence") };
    let bytes = usize::from(first & 0x7f);
    let length = match first {
        0x80.. => after[..bytes].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)) + bytes,
        _ => bytes,
    };
    assert_eq!(length, after.len(), "bytes follow the certificate, or some are missing");
}

/// With a byte more it is another certificate.
fn assert_no_longer(chain: &CertificateChain) {
    let mut longer = chain.clone();
    longer.leaf.push(0);
    let digest = Sha256::digest(&longer.leaf).into();
    assert!(
        ask(&token(digest), &ClientCertificate::Chain(longer), NOW).is_err(),
        "a byte behind the certificate"
    );
}

/// Another text of the same form: parts of the header, or bytes of a certificate.
pub fn mutated(text: &str, random: &mut Random) -> Option<String> {
    const PARTS: [&str; 22] = [
        ",",
        ";",
        "\"",
        "\\",
        "=",
        ":",
        "%",
        "%0A",
        "+",
        " ",
        "\n",
        "Hash=",
        "hash=",
        "Cert=\"",
        "Chain=\"",
        "URI=spiffe://a/b",
        "Subject=\"\"",
        "-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE-----",
        "AQ==",
        "::",
        "\u{feff}",
    ];
    let (form, value) = text.split_once('\n')?;
    if !FORMS.contains(&form) {
        return None;
    }
    if form == "svid" {
        return svid::mutated(value, random).map(|value| format!("svid\n{value}"));
    }
    if form == "der" && random.below(4) > 0 {
        let mut lines: Vec<Vec<u8>> =
            value.lines().map(|line| BASE64_STANDARD.decode(line).unwrap_or_default()).collect();
        let count = lines.len().max(1);
        change_der(lines.get_mut(random.below(count))?, random);
        let lines: Vec<String> = lines.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
        return Some(format!("{form}\n{}", lines.join("\n")));
    }
    let places: Vec<usize> = value.char_indices().map(|(at, _)| at).chain([value.len()]).collect();
    let (before, after) = value.split_at(*random.one_of(&places));
    Some(match random.below(4) {
        0 => format!("{form}\n{before}{}", after.chars().skip(1).collect::<String>()),
        1 => format!("{form}\n{value}{}{value}", random.one_of(&PARTS)),
        _ => format!("{form}\n{before}{}{after}", random.one_of(&PARTS)),
    })
}

fn change_der(der: &mut Vec<u8>, random: &mut Random) {
    let Some(last) = der.len().checked_sub(1) else { return };
    let at = random.below(last + 1);
    match random.below(6) {
        0 => drop(der.remove(at)),
        1 => der.insert(at, random.next().to_le_bytes()[0]),
        2 => der.truncate(at),
        3 => der.push(0),
        _ => der[at] = random.next().to_le_bytes()[0],
    }
}
