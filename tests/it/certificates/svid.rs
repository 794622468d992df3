//! Workloads that prove themselves by a certificate (X.509-SVID), and every way around it that has a name.

use deodar::api::pb::{decision as pb, manage};
use pb::client_certificate::Form;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType,
};
use serde_json::json;

use super::{Attack, Door, PATH, all_refused, attack, call, challenge, detail, reason};
use crate::support::certificate::{
    Authority, alone, client, confirmation, pem, self_signed, url_encoded, valid, with, with_chain, xfcc,
};
use crate::support::proof::bearer;

const ID: &str = "spiffe://prod.example.com/ns/shop/sa/web";
const WORKLOAD: &str = "Workload::prod/ns/shop/sa/web";

/// A server that believes two trust domains.
struct Mesh {
    door: Door,
    prod: Authority,
    partner: Authority,
}

impl Mesh {
    async fn open() -> Self {
        let (prod, partner) = (Authority::root("prod"), Authority::root("partner"));
        let folder = tempfile::tempdir().unwrap();
        for (name, authority) in [("prod", &prod), ("partner", &partner)] {
            std::fs::write(folder.path().join(format!("{name}.pem")), pem(&authority.der)).unwrap();
        }
        let folder = folder.path().display();
        let door = Door::open(&format!(
            r#"
[[identity.trust_domains]]
alias = "prod"
name = "prod.example.com"
bundle_file = "{folder}/prod.pem"
domains = "*"

[[identity.trust_domains]]
alias = "partner"
name = "partner.example.org"
bundle_file = "{folder}/partner.pem"
"#
        ))
        .await;
        Self { door, prod, partner }
    }

    /// A good certificate but for this change.
    fn changed(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = client(&[ID]);
        change(&mut params);
        self.prod.sign(&params)
    }

    fn good(&self) -> Vec<u8> {
        self.prod.sign(&client(&[ID]))
    }

    async fn get(&self, credential: pb::Credential) -> pb::Decision {
        self.door.get(credential).await
    }
}

#[tokio::test]
async fn a_workload_proves_itself_in_every_form_and_the_policies_see_it() {
    let mesh = Mesh::open().await;
    let direct = mesh.good();
    let middle = mesh.prod.below("middle", |_| ());
    let deep = middle.sign(&client(&[ID]));
    let chain = pem(&deep) + &pem(&middle.der);
    for credential in [
        alone(&direct, &[]),
        alone(&direct, &[&middle.der]),
        alone(&deep, &[&middle.der]),
        alone(&deep, &[&mesh.partner.der, &middle.der, &mesh.prod.der]),
        with(pb::Credential::default(), Form::Pem(url_encoded(&chain))),
        with(
            pb::Credential::default(),
            Form::Xfcc(format!("{};Chain=\"{}\"", xfcc(&deep), url_encoded(&chain))),
        ),
    ] {
        for path in [PATH, "/seen", "/bound"] {
            // The second time it is known already.
            for _ in 0..2 {
                let decision = mesh.door.ask(credential.clone(), call(path)).await;
                assert_eq!(reason(&decision), "allowed", "{path}: {}", detail(&decision));
                assert_eq!(decision.principal, WORKLOAD);
                assert!(decision.reuse_for.is_none(), "an answer that rests on a certificate");
            }
        }
    }
    mesh.door.app.stop().await;
}

/// What a leaf must be and is not.
fn unfit(mesh: &Mesh) -> Vec<Attack> {
    let of = |uris: &[&str]| alone(&mesh.prod.sign(&client(uris)), &[]);
    let leaf = |change: &dyn Fn(&mut CertificateParams)| alone(&mesh.changed(change), &[]);
    let usage = |usages: &[KeyUsagePurpose]| leaf(&|params| params.key_usages = usages.to_vec());
    let extended = |usages: &[ExtendedKeyUsagePurpose]| {
        leaf(&|params: &mut CertificateParams| params.extended_key_usages = usages.to_vec())
    };
    let dns = SanType::DnsName("web.example.com".try_into().unwrap());
    let uncritical = leaf(&|params| {
        params.key_usages.clear();
        // A bit string: digitalSignature.
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&[2, 5, 29, 15], vec![0x03, 0x02, 0x07, 0x80])];
    });
    vec![
        attack("no name", of(&[]), ["malformed", "0 URI"]),
        attack(
            "a DNS name",
            leaf(&|params| params.subject_alt_names = vec![dns.clone()]),
            ["malformed", "0 URI"],
        ),
        attack("two names", of(&[ID, "spiffe://prod.example.com/admin"]), ["malformed", "2 URI"]),
        attack("the same name twice", of(&[ID, ID]), ["malformed", "2 URI"]),
        attack("a second name of another kind", of(&[ID, "https://x.example.com"]), ["malformed", "2 URI"]),
        attack("a name that is a URL", of(&["https://prod.example.com/web"]), ["malformed", "begins with"]),
        attack(
            "the trust domain itself",
            of(&["spiffe://prod.example.com"]),
            ["malformed", "not of a workload"],
        ),
        attack("a name with a slash more", of(&["spiffe://prod.example.com/web/"]), ["malformed", "slash"]),
        attack("a name with dots", of(&["spiffe://prod.example.com/a/../admin"]), ["malformed", "segment"]),
        attack("a name with an escape", of(&["spiffe://prod.example.com/a%2fb"]), ["malformed", "segment"]),
        attack("a name in capitals", of(&["spiffe://PROD.example.com/web"]), ["malformed", "trust domain"]),
        attack(
            "a name with a port",
            of(&["spiffe://prod.example.com:443/web"]),
            ["malformed", "trust domain"],
        ),
        attack(
            "another trust domain",
            of(&["spiffe://other.example.com/web"]),
            ["wrong_issuer", "not configured"],
        ),
        attack(
            "a longer trust domain",
            of(&["spiffe://prod.example.com.evil.net/web"]),
            ["wrong_issuer", "not configured"],
        ),
        attack(
            "an authority as a workload",
            leaf(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            ["wrong_type", "cA"],
        ),
        attack("no key usage", usage(&[]), ["wrong_type", "what its key is for"]),
        attack("a key usage that is not critical", uncritical, ["wrong_type", "not critical"]),
        attack(
            "a key that does not sign",
            usage(&[KeyUsagePurpose::KeyAgreement]),
            ["wrong_type", "not for signatures"],
        ),
        attack(
            "a key that signs certificates",
            usage(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign]),
            ["wrong_type", "signing certificates"],
        ),
        attack(
            "a key that signs revocation lists",
            usage(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]),
            ["wrong_type", "signing certificates"],
        ),
        attack(
            "a certificate of a client only",
            extended(&[ExtendedKeyUsagePurpose::ClientAuth]),
            ["wrong_type", "both ends"],
        ),
        attack(
            "a certificate of a server only",
            extended(&[ExtendedKeyUsagePurpose::ServerAuth]),
            ["wrong_type", "both ends"],
        ),
        attack(
            "a certificate for code",
            extended(&[ExtendedKeyUsagePurpose::CodeSigning]),
            ["wrong_type", "both ends"],
        ),
        attack("expired", leaf(&|params| valid(params, -7_200, -60)), ["expired", "expired"]),
        attack(
            "before its time",
            leaf(&|params| valid(params, 60, 3_600)),
            ["not_yet_valid", "not valid yet"],
        ),
        attack(
            "for too long",
            leaf(&|params| valid(params, -60, 2 * 86_400)),
            ["too_long_lived", "may give"],
        ),
    ]
}

/// Paths that lead nowhere.
fn astray(mesh: &Mesh) -> Vec<Attack> {
    let good = mesh.good();
    let middle = mesh.prod.below("middle", |_| ());
    let last = mesh.prod.below("last", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let beyond = last.below("beyond", |_| ());
    let old = mesh.prod.below("old", |params| valid(params, -7_200, -60));
    let unfit =
        mesh.prod.below("unfit", |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]);
    let leaf = mesh.prod.below("leaf", |params| {
        *params = client(&["spiffe://prod.example.com/leaf"]);
    });
    let forger = Authority::root("prod");
    let sign = |authority: &Authority| authority.sign(&client(&[ID]));
    let mut spoilt = good.clone();
    *spoilt.last_mut().unwrap() ^= 1;
    let trailing = [&good[..], &[0]].concat();
    let filler: Vec<Authority> =
        (0..5).map(|number| mesh.prod.below(&format!("f{number}"), |_| ())).collect();
    let filler: Vec<&[u8]> = filler.iter().map(|authority| authority.der.as_slice()).collect();
    vec![
        attack("signed by itself", alone(&self_signed(&client(&[ID])), &[]), ["unknown_key", "no authority"]),
        attack(
            "signed by another trust domain",
            alone(&sign(&mesh.partner), &[&mesh.partner.der]),
            ["unknown_key", "no authority"],
        ),
        attack("signed by one of the same name", alone(&sign(&forger), &[]), ["bad_signature", "signature"]),
        attack(
            "one of the same name came along",
            alone(&sign(&forger), &[&forger.der]),
            ["bad_signature", "signature"],
        ),
        attack("with another signature", alone(&spoilt, &[]), ["bad_signature", "signature"]),
        attack("without what lies between", alone(&sign(&middle), &[]), ["unknown_key", "no authority"]),
        attack("what lies between has expired", alone(&sign(&old), &[&old.der]), ["expired", "expired"]),
        attack(
            "what lies between signs no certificates",
            alone(&sign(&unfit), &[&unfit.der]),
            ["wrong_type", "key usage"],
        ),
        attack("a workload signed it", alone(&sign(&leaf), &[&leaf.der]), ["wrong_type", "path"]),
        attack(
            "a longer path than allowed",
            alone(&sign(&beyond), &[&beyond.der, &last.der]),
            ["wrong_type", "path"],
        ),
        attack("more certificates than are read", alone(&good, &filler), ["malformed", "at most 4"]),
        attack("the authority itself", alone(&mesh.prod.der, &[]), ["malformed", "0 URI"]),
        attack("a byte more", alone(&trailing, &[]), ["malformed", "bytes follow"]),
        attack("a byte less", alone(&good[..good.len() - 1], &[]), ["malformed", "not one in DER"]),
        attack("no certificate", alone(b"certificate", &[]), ["malformed", "not one in DER"]),
        attack(
            "only its hash",
            with(pb::Credential::default(), Form::Xfcc(format!("Hash={}", "ab".repeat(32)))),
            ["malformed", "digest"],
        ),
        attack(
            "its name in a header",
            with(pb::Credential::default(), Form::Xfcc(format!("By=x;URI={ID}"))),
            ["malformed", "none of"],
        ),
        attack(
            "its element behind another's",
            with(pb::Credential::default(), Form::Xfcc(format!("{},{}", xfcc(&sign(&forger)), xfcc(&good)))),
            ["malformed", "more than one element"],
        ),
    ]
}

#[tokio::test]
async fn every_named_attack_is_refused_for_its_own_reason() {
    let mesh = Mesh::open().await;
    assert_eq!(reason(&mesh.get(alone(&mesh.good(), &[])).await), "allowed");
    let mut attacks = unfit(&mesh);
    attacks.extend(astray(&mesh));
    assert!(attacks.len() >= 40, "{}", attacks.len());
    all_refused(&mesh.door, attacks).await;
    let refused = mesh.get(alone(&self_signed(&client(&[ID])), &[])).await;
    assert_eq!(challenge(&refused).0, "Bearer");
    mesh.door.app.stop().await;
}

#[tokio::test]
async fn a_workload_counts_only_in_the_domains_of_its_trust_domain() {
    let mesh = Mesh::open().await;
    let partner = mesh.partner.sign(&client(&["spiffe://partner.example.org/web"]));
    let decision = mesh.get(alone(&partner, &[])).await;
    assert_eq!(reason(&decision), "credential_wrong_issuer", "{}", detail(&decision));
    assert!(detail(&decision).contains("not granted domain"), "{}", detail(&decision));
    mesh.door.app.stop().await;
}

#[tokio::test]
async fn a_workload_can_be_revoked_and_disabled() {
    use sha2::{Digest, Sha256};
    let mesh = Mesh::open().await;
    let management = mesh.door.app.management().await;
    let certificate = mesh.good();
    let digest = hex::encode(Sha256::digest(&certificate));
    for target in
        [format!("principal:{WORKLOAD}"), format!("token:sha256/{digest}"), "issuer:prod".to_owned()]
    {
        assert_eq!(reason(&mesh.get(alone(&certificate, &[])).await), "allowed", "{target}");
        let revocation = manage::Revocation {
            target: target.clone(),
            reason: "the machine was lost".into(),
            ..manage::Revocation::default()
        };
        let request = manage::CreateRevocationRequest { revocation: Some(revocation) };
        let made = management.revocations().create_revocation(request).await.unwrap().into_inner();
        assert!(made.warnings.is_empty(), "{:?}", made.warnings);
        let decision = mesh.get(alone(&certificate, &[])).await;
        assert_eq!(reason(&decision), "revoked", "{target}");
        let revocation_id = made.revocation.unwrap().revocation_id;
        let undo = manage::DeleteRevocationRequest { revocation_id, reason: "found".into() };
        management.revocations().delete_revocation(undo).await.unwrap();
    }
    let entry = manage::Principal {
        principal_id: WORKLOAD.into(),
        active: Some(false),
        ..manage::Principal::default()
    };
    let put = manage::PutPrincipalRequest { principal: Some(entry), etag: "*".into() };
    management.principals().put_principal(put).await.unwrap();
    assert_eq!(reason(&mesh.get(alone(&certificate, &[])).await), "principal_disabled");
    mesh.door.app.stop().await;
}

#[tokio::test]
async fn a_token_beside_a_certificate_is_who_is_calling() {
    let mesh = Mesh::open().await;
    let certificate = mesh.good();
    let token = mesh.door.token(json!({ "cnf": confirmation(&certificate) }));
    let decision = mesh.get(with_chain(bearer(&token, ""), &certificate, &[])).await;
    assert_eq!((reason(&decision).as_str(), decision.principal.as_str()), ("allowed", "User::dev/alice"));
    mesh.door.app.stop().await;
}

#[tokio::test]
async fn without_a_trust_domain_a_certificate_proves_nobody() {
    let door = Door::open("").await;
    let certificate = Authority::root("prod").sign(&client(&[ID]));
    let decision = door.get(alone(&certificate, &[])).await;
    assert_eq!(reason(&decision), "credential_wrong_issuer", "{}", detail(&decision));
    door.app.stop().await;
}
