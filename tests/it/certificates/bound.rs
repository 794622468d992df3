//! Tokens that are bound to a certificate (RFC 8705), with the certificate in every form that gateways have it in.

use deodar::api::pb::{decision as pb, manage};
use deodar::identity::Algorithm;
use pb::client_certificate::Form;
use rcgen::CertificateParams;
use serde_json::json;

use super::{Attack, Door, PATH, all_refused, ask, attack, call, challenge, detail, reason};
use crate::support::app::{THINGS_HOST, create_client};
use crate::support::case::effect_name;
use crate::support::certificate::{
    Authority, alone, byte_sequence, client, confirmation, pem, self_signed, url_encoded, valid, with,
    with_chain, xfcc,
};
use crate::support::proof::{Prover, bearer, dpop};

const BINDING: &str = "binding_failed";
const MALFORMED: &str = "malformed";

fn certificate() -> Vec<u8> {
    self_signed(&client(&[]))
}

fn changed(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = client(&[]);
    change(&mut params);
    self_signed(&params)
}

fn digest(der: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex::encode(Sha256::digest(der))
}

#[tokio::test]
async fn the_certificate_opens_the_door_in_every_form_and_the_policies_see_it() {
    let door = Door::open("").await;
    let own = certificate();
    let above = certificate();
    let token = door.token(json!({ "cnf": confirmation(&own) }));
    let chained = |form, der: &[&[u8]], header: &str| pb::Credential {
        client_certificate: Some(pb::ClientCertificate {
            form: Some(form),
            chain: der.iter().map(|der| der.to_vec()).collect(),
            client_cert_chain: header.to_owned(),
        }),
        ..bearer(&token, "")
    };
    for credential in [
        with(bearer(&token, ""), Form::Pem(pem(&own))),
        with(bearer(&token, ""), Form::Pem(pem(&own) + &pem(&above))),
        with(bearer(&token, ""), Form::Pem(url_encoded(&pem(&own)))),
        with(bearer(&token, ""), Form::Der(own.clone())),
        chained(Form::Der(own.clone()), &[&above], ""),
        with(bearer(&token, ""), Form::Xfcc(xfcc(&own))),
        with(bearer(&token, ""), Form::Xfcc(format!("Hash={}", digest(&own)))),
        with(bearer(&token, ""), Form::ClientCert(byte_sequence(&own))),
        chained(Form::ClientCert(byte_sequence(&own)), &[], &byte_sequence(&above)),
    ] {
        for path in [PATH, "/seen", "/bound"] {
            let decision = door.ask(credential.clone(), call(path)).await;
            assert_eq!(reason(&decision), "allowed", "{path} {credential:?}: {}", detail(&decision));
            assert_eq!(decision.principal, "User::dev/alice");
            assert!(decision.reuse_for.is_none(), "an answer that rests on a certificate");
        }
    }
    door.app.stop().await;
}

#[tokio::test]
async fn a_token_that_is_not_bound_does_not_mind_a_certificate_and_gains_nothing_by_it() {
    let door = Door::open("").await;
    let token = door.token(json!({}));
    let credential = with(bearer(&token, ""), Form::Der(certificate()));
    assert_eq!(reason(&door.get(credential.clone()).await), "allowed");
    assert_eq!(reason(&door.ask(credential.clone(), call("/seen")).await), "forbidden_by_policy");
    let wanted = door.ask(credential, call("/bound")).await;
    assert_eq!(reason(&wanted), "credential_binding_failed", "{}", detail(&wanted));
    door.app.stop().await;
}

/// Certificates that are not the one of the token, or no certificates.
fn spoilt(door: &Door, own: &[u8], token: &str) -> Vec<Attack> {
    let beside = |form| with(bearer(token, ""), form);
    let other = certificate();
    let of_other = door.token(json!({ "cnf": confirmation(&other) }));
    let of = |der: &[u8]| {
        with(bearer(&door.token(json!({ "cnf": confirmation(der) })), ""), Form::Der(der.to_vec()))
    };
    let expired = changed(|params| valid(params, -7_200, -1));
    let early = changed(|params| valid(params, 60, 3_600));
    let trailing = [own, &[0]].concat();
    let truncated = own[..own.len() - 1].to_vec();
    vec![
        attack("no certificate", bearer(token, ""), [BINDING, "none was presented"]),
        attack("another certificate", beside(Form::Der(other.clone())), [BINDING, "another certificate"]),
        attack(
            "the certificate of another token",
            with(bearer(&of_other, ""), Form::Der(own.to_vec())),
            [BINDING, "another certificate"],
        ),
        attack(
            "its own, behind another",
            with_chain(bearer(token, ""), &other, &[own]),
            [BINDING, "another"],
        ),
        attack("its own, with a byte more", beside(Form::Der(trailing.clone())), [BINDING, "another"]),
        attack("its own, with a byte less", beside(Form::Der(truncated.clone())), [BINDING, "another"]),
        attack(
            "the digest of another",
            beside(Form::Xfcc(format!("Hash={}", digest(&other)))),
            [BINDING, "another"],
        ),
        attack("an expired certificate", of(&expired), ["expired", "valid until"]),
        attack("a certificate before its time", of(&early), ["not_yet_valid", "valid from"]),
        attack("bound to a certificate with a byte more", of(&trailing), [MALFORMED, "bytes follow"]),
        attack("bound to a certificate with a byte less", of(&truncated), [MALFORMED, "not one in DER"]),
        attack("bound to what is no certificate", of(b"certificate"), [MALFORMED, "not one in DER"]),
        attack(
            "a certificate beyond the bound",
            beside(Form::Der(vec![0x30; 33_000])),
            [MALFORMED, "longer"],
        ),
        attack(
            "a chain beyond the bound",
            with_chain(bearer(token, ""), own, &[&other, &other, &other, &other, &other]),
            [MALFORMED, "at most 4"],
        ),
    ]
}

/// Headers with more in them than one certificate.
fn injected(own: &[u8], token: &str) -> Vec<Attack> {
    let beside = |form| with(bearer(token, ""), form);
    let other = certificate();
    let (mine, theirs) = (xfcc(own), xfcc(&other));
    let (own_hash, other_hash) = (format!("Hash={}", digest(own)), format!("Hash={}", digest(&other)));
    let xfcc = |text: String| beside(Form::Xfcc(text));
    vec![
        attack(
            "xfcc with an element before",
            xfcc(format!("{theirs},{mine}")),
            [MALFORMED, "more than one element"],
        ),
        attack(
            "xfcc with an element behind",
            xfcc(format!("{mine},{theirs}")),
            [MALFORMED, "more than one element"],
        ),
        attack(
            "xfcc with the element twice",
            xfcc(format!("{mine},{mine}")),
            [MALFORMED, "more than one element"],
        ),
        attack(
            "xfcc with a bare element",
            xfcc(format!("{own_hash},{other_hash}")),
            [MALFORMED, "more than one"],
        ),
        attack("xfcc with two hashes", xfcc(format!("{other_hash};{own_hash}")), [MALFORMED, "twice"]),
        attack(
            "xfcc with a hash in capitals too",
            xfcc(format!("{own_hash};HASH={}", digest(own))),
            [MALFORMED, "twice"],
        ),
        attack(
            "xfcc with the hash of another",
            xfcc(format!("{other_hash};Cert=\"{}\"", url_encoded(&pem(own)))),
            [MALFORMED, "another certificate"],
        ),
        attack(
            "xfcc with a subject that ends its quotes",
            xfcc(format!("Subject=\"CN=x\";{own_hash}\",{other_hash}")),
            [MALFORMED, "quote"],
        ),
        attack(
            "xfcc with an open quote",
            xfcc(format!("Subject=\"CN=x;{own_hash}")),
            [MALFORMED, "does not end"],
        ),
        attack("xfcc with a URI alone", xfcc("URI=spiffe://mesh/admin".into()), [MALFORMED, "none of"]),
        attack("xfcc that is empty", xfcc(String::new()), [MALFORMED, "without a value"]),
        attack(
            "Client-Cert twice",
            beside(Form::ClientCert(format!("{}, {}", byte_sequence(own), byte_sequence(&other)))),
            [MALFORMED, "byte sequence"],
        ),
        attack(
            "Client-Cert with a parameter",
            beside(Form::ClientCert(byte_sequence(own) + ";a=1")),
            [MALFORMED, "byte sequence"],
        ),
        attack(
            "PEM with a key",
            beside(Form::Pem(pem(own) + &pem(own).replace("CERTIFICATE", "PRIVATE KEY"))),
            [MALFORMED, "more than certificates"],
        ),
        attack("PEM that is empty", beside(Form::Pem(String::new())), [MALFORMED, "no certificate"]),
        attack(
            "PEM with text before",
            beside(Form::Pem(format!("x{}", pem(own)))),
            [MALFORMED, "more than certificates"],
        ),
    ]
}

#[tokio::test]
async fn every_named_attack_is_refused_for_its_own_reason() {
    let door = Door::open("").await;
    let own = certificate();
    let token = door.token(json!({ "cnf": confirmation(&own) }));
    // Verified and kept, so that the attacks meet a token from the cache.
    let good = with(bearer(&token, ""), Form::Der(own.clone()));
    assert_eq!(reason(&door.get(good.clone()).await), "allowed");
    let mut attacks = spoilt(&door, &own, &token);
    attacks.extend(injected(&own, &token));
    assert!(attacks.len() >= 30, "{}", attacks.len());
    all_refused(&door, attacks).await;
    let refused = door.get(bearer(&token, "")).await;
    assert_eq!(challenge(&refused).0, "Bearer", "a DPoP proof would not help");
    assert_eq!(reason(&door.get(good).await), "allowed");
    door.app.stop().await;
}

#[tokio::test]
async fn a_token_that_is_bound_to_both_needs_both() {
    let door = Door::open("").await;
    let (prover, own) = (Prover::new(Algorithm::Es256), certificate());
    let mut both = confirmation(&own);
    both["jkt"] = json!(prover.key.kid());
    let token = door.token(json!({ "cnf": both }));
    let uri = format!("https://{THINGS_HOST}{PATH}");
    let proof = prover.proof("GET", &uri, &token);
    let certificate = || Form::Der(own.clone());
    let reason_of = |decision: pb::Decision| reason(&decision);
    assert_eq!(reason_of(door.get(dpop(&token, &proof)).await), "credential_binding_failed");
    let bearer_only = with(bearer(&token, ""), certificate());
    assert_eq!(reason_of(door.get(bearer_only).await), "credential_binding_failed");
    let wrong = with(dpop(&token, &proof), Form::Der(self_signed(&client(&[]))));
    assert_eq!(reason_of(door.get(wrong).await), "credential_binding_failed");
    // None of them used the proof up.
    assert_eq!(reason_of(door.get(with(dpop(&token, &proof), certificate())).await), "allowed");
    assert_eq!(reason_of(door.get(with(dpop(&token, &proof), certificate())).await), "credential_replayed");
    door.app.stop().await;
}

#[tokio::test]
async fn a_gateway_without_the_grant_passes_on_no_certificate() {
    let door = Door::open("").await;
    let management = door.app.management().await;
    let grants = manage::Grants { all_apis: true, ..manage::Grants::default() };
    let plain = manage::Client {
        client_id: "plain-gateway".into(),
        roles: vec![manage::Role::Gateway.into()],
        grants: Some(grants),
        ..manage::Client::default()
    };
    let key = create_client(&management, plain).await;
    let gateway = door.app.decisions(&key).await;
    let own = certificate();
    let token = door.token(json!({ "cnf": confirmation(&own) }));
    let unbound = door.token(json!({}));
    assert_eq!(reason(&ask(&gateway, bearer(&unbound, ""), call(PATH)).await), "allowed");
    for token in [&token, &unbound] {
        for form in [Form::Der(own.clone()), Form::Xfcc("nonsense".into())] {
            let decision = ask(&gateway, with(bearer(token, ""), form), call(PATH)).await;
            assert_eq!(reason(&decision), "caller_not_permitted");
            assert_eq!((effect_name(decision.effect), decision.principal.as_str()), ("deny", ""));
        }
    }
    let certificate_alone = with(pb::Credential::default(), Form::Der(own));
    assert_eq!(reason(&ask(&gateway, certificate_alone, call(PATH)).await), "caller_not_permitted");
    door.app.stop().await;
}

#[tokio::test]
async fn who_signed_the_certificate_does_not_matter_and_alone_it_proves_nobody() {
    let door = Door::open("").await;
    let middle = Authority::root("root").below("middle", |_| ());
    let own = middle.sign(&client(&["spiffe://prod.example.com/web"]));
    let token = door.token(json!({ "cnf": confirmation(&own) }));
    let decision = door.get(with_chain(bearer(&token, ""), &own, &[&middle.der])).await;
    assert_eq!(reason(&decision), "allowed", "{}", detail(&decision));
    let decision = door.get(alone(&own, &[&middle.der])).await;
    assert_eq!(reason(&decision), "credential_wrong_issuer", "{}", detail(&decision));
    door.app.stop().await;
}
