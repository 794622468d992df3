//! Certificates of workloads (X.509-SVID): whoever is accepted has one SPIFFE ID, and an authority of that trust domain signed
//! for it. Drafts are signed only when they are judged, as tokens are.
//!
//! As text: a line for each certificate, the workload's own first: who signs (`prod`), and what is signed, in base64.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use deodar::identity::{
    Authenticated, CacheConfig, Config, Grant, Identity, IdentityRefusal, Presented, SigningKey,
    TrustDomainConfig,
};
use deodar::model::{
    CertificateChain, ClientCertificate, Credential, Principal, PrincipalKind, Timestamp, TokenKind,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::der::{self, Split, Tree};
use super::random::Random;
use super::token::{NOW, assert_discreet};
use super::{Verdict, keys, seeds};

/// A trust domain that is believed.
pub struct Domain {
    pub alias: &'static str,
    name: &'static str,
    authority: fn() -> Vec<u8>,
    tokens: Option<&'static LazyLock<SigningKey>>,
    max_lifetime: u64,
}

const DAY: u64 = 86_400;
pub const PROD: &str = "prod.example.com";
pub const PARTNER: &str = "partner.example.org";

impl Domain {
    /// Whether its key for tokens made this signature (ES256: both numbers, one after the other).
    pub fn signed_token(&self, signed: &[u8], signature: &[u8]) -> bool {
        let jwk = self.tokens.expect("its tokens are not taken").public_jwk();
        let number = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let point = [vec![4], number("x"), number("y")].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
    }
}

static DOMAINS: [Domain; 3] = [
    Domain {
        alias: "prod",
        name: PROD,
        authority: || root("prod"),
        tokens: Some(&keys::PROD),
        max_lifetime: DAY,
    },
    Domain {
        alias: "partner",
        name: PARTNER,
        authority: || root("partner"),
        tokens: Some(&keys::PARTNER),
        max_lifetime: DAY,
    },
    // Its certificates live for twenty years, and are signed with ECDSA.
    Domain {
        alias: "old",
        name: "example.org",
        authority: || BASE64_STANDARD.decode(seeds::AUTHORITY).unwrap(),
        tokens: None,
        max_lifetime: 8_000 * DAY,
    },
];

static FRESH: LazyLock<Identity> = LazyLock::new(|| trusting(&without_cache(), 0));
static CACHING: LazyLock<Identity> = LazyLock::new(|| trusting(&Config::default(), 0));
/// With the authorities of each trust domain in the bundle of another.
static CROSSED: LazyLock<Identity> = LazyLock::new(|| trusting(&without_cache(), 1));

fn without_cache() -> Config {
    Config { cache: CacheConfig { max_tokens: 0, ..CacheConfig::default() }, ..Config::default() }
}

/// These settings with the trust domains, of which each has the bundle of the one `shift` behind it.
pub fn trusting(config: &Config, shift: usize) -> Identity {
    static FOLDERS: AtomicUsize = AtomicUsize::new(0);
    let number = FOLDERS.fetch_add(1, Ordering::SeqCst);
    let folder = std::env::temp_dir().join(format!("deodar-fuzz-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut config = config.clone();
    for (index, domain) in DOMAINS.iter().enumerate() {
        let other = &DOMAINS[(index + shift) % DOMAINS.len()];
        let file = PathBuf::from(format!("{}.json", domain.alias));
        std::fs::write(folder.join(&file), bundle(other).to_string()).unwrap();
        config.trust_domains.push(TrustDomainConfig {
            alias: domain.alias.parse().unwrap(),
            name: domain.name.to_owned(),
            bundle_file: file,
            jwt_audiences: other
                .tokens
                .iter()
                .flat_map(|_| ["orders".to_owned(), "users".to_owned()])
                .collect(),
            max_lifetime: Duration::from_secs(domain.max_lifetime),
            leeway: Duration::from_secs(30),
            domains: Grant::All,
        });
    }
    let identity = Identity::new(&config, &folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    identity
}

fn bundle(domain: &Domain) -> Value {
    let authority = json!({
        "kty": "OKP", "use": "x509-svid", "x5c": [BASE64_STANDARD.encode((domain.authority)())],
    });
    let token_key = domain.tokens.map(|key| {
        let mut jwk = key.public_jwk();
        jwk["use"] = json!("jwt-svid");
        jwk
    });
    let keys: Vec<Value> = [authority].into_iter().chain(token_key).collect();
    json!({ "keys": keys })
}

/// Who may sign certificates. `between` is an authority below that of `prod`, `workload` is none.
const SIGNERS: [&str; 5] = ["prod", "partner", "between", "workload", "stranger"];

fn key(signer: &str) -> Ed25519KeyPair {
    let number = SIGNERS.iter().position(|one| *one == signer).unwrap() as u8;
    Ed25519KeyPair::from_seed_unchecked(&[0x10 + number; 32]).unwrap()
}

/// The certificate that this becomes with a signature.
fn signed(signer: &str, tbs: &[u8]) -> Vec<u8> {
    let signature = [&[0], key(signer).sign(tbs).as_ref()].concat();
    der::sequence(&[tbs.to_vec(), der::sequence(&[oid(&ED25519_OID)]), der::value(0x03, &signature)])
}

/// Judges a draft, and asserts that it was judged right.
pub fn judge(text: &str) -> Verdict {
    let mut all = Vec::new();
    for line in text.lines() {
        let Some((signer, tbs)) = line.split_once(' ') else { return Verdict::Refused };
        let Ok(tbs) = BASE64_STANDARD.decode(tbs) else { return Verdict::Refused };
        if !SIGNERS.contains(&signer) || tbs.len() > 4_096 {
            return Verdict::Refused;
        }
        all.push(signed(signer, &tbs));
    }
    let mut all = all.into_iter();
    let Some(leaf) = all.next() else { return Verdict::Refused };
    judge_alone(&CertificateChain::forwarded(leaf, all.collect()))
}

type Answer = Result<Authenticated, IdentityRefusal>;

fn ask(identity: &Identity, chain: &CertificateChain, now: Timestamp) -> Answer {
    let certificate = ClientCertificate::Chain(chain.clone());
    let alone = Presented { credential: &Credential::None, certificate: &certificate, target: None };
    identity.examine_for(&alone, now)
}

fn names(answer: &Answer) -> Result<&Principal, &IdentityRefusal> {
    answer.as_ref().map(|known| &*known.principal)
}

/// Judges a certificate that came without a token.
pub fn judge_alone(chain: &CertificateChain) -> Verdict {
    let answer = ask(&FRESH, chain, NOW);
    for when in ["with a cache", "from the cache"] {
        assert_eq!(names(&ask(&CACHING, chain, NOW)), names(&answer), "{when}");
    }
    let peer = FRESH.peer(&ClientCertificate::Chain(chain.clone()), NOW);
    match &answer {
        Ok(known) => {
            let peer = peer.unwrap().map(|peer| peer.principal);
            assert_eq!(peer.as_ref(), Some(&known.principal), "another workload beside a token");
            assert_right(chain, &known.principal);
            assert_only_as_signed(chain);
            Verdict::Accepted
        }
        Err(refusal) => {
            assert!(!matches!(peer, Ok(Some(_))), "a peer beside a token, and nobody without");
            assert_discreet("", refusal);
            Verdict::Refused
        }
    }
}

/// With another byte anywhere, or by another trust domain's authorities, it is nobody's.
fn assert_only_as_signed(chain: &CertificateChain) {
    assert!(ask(&CROSSED, chain, NOW).is_err(), "the authority of another trust domain was believed");
    let digest = Sha256::digest(&chain.leaf);
    let mut changed = chain.clone();
    let at = usize::from(u16::from_le_bytes([digest[0], digest[1]])) % changed.leaf.len();
    changed.leaf[at] ^= 1 << (digest[2] % 8);
    assert!(ask(&FRESH, &changed, NOW).is_err(), "accepted with byte {at} changed");
}

/// The certificate once more by other means, as far as they reach.
fn assert_right(chain: &CertificateChain, principal: &Principal) {
    let leaf = Read::new(&chain.leaf)
        .unwrap_or_else(|| panic!("cannot be read: {}", BASE64_STANDARD.encode(&chain.leaf)));
    let uris = leaf.uris();
    let [uri] = uris.as_slice() else { panic!("{} URIs were taken for one", uris.len()) };
    let (domain, path) = assert_spiffe_id(uri);
    assert_eq!(principal.id.parts(), (domain.alias, path));
    assert_named_only(principal, domain);
    let facts = principal.token.as_ref().unwrap();
    assert_eq!(facts.sha256, <[u8; 32]>::from(Sha256::digest(&chain.leaf)));
    assert!(facts.sender_constrained && facts.is_certificate());
    leaf.assert_workload();
    assert!(leaf.end - leaf.begin <= domain.max_lifetime as i64, "made for too long");
    let above: Vec<Read> = chain.above.iter().filter_map(|der| Read::new(der)).collect();
    let authority = (domain.authority)();
    let authority = Read::new(&authority).unwrap();
    let ends = leaf.vouched_for(&authority, &above, 0);
    let ends = ends.expect("no authority of the trust domain signed it").min(leaf.end);
    for identity in [&*FRESH, &*CACHING] {
        assert!(ask(identity, chain, Timestamp::from_seconds(ends + 1)).is_err(), "accepted after its end");
    }
}

/// Exactly as the standard spells it; gives the trust domain and the path.
pub fn assert_spiffe_id(text: &str) -> (&'static Domain, &str) {
    let rest = text.strip_prefix("spiffe://").expect("no SPIFFE ID");
    let (name, path) = rest.split_once('/').expect("a trust domain and no workload");
    let domain = DOMAINS.iter().find(|domain| domain.name == name).expect("a strange trust domain");
    assert!((1..=255).contains(&path.len()));
    for segment in path.split('/') {
        assert!(!["", ".", ".."].contains(&segment), "a path that leads elsewhere: {path}");
        assert!(segment.chars().all(|c| matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_')));
    }
    (domain, path)
}

/// Nothing but the name is known of a workload.
pub fn assert_named_only(principal: &Principal, domain: &Domain) {
    let facts = principal.token.as_ref().unwrap();
    assert_eq!((facts.kind, facts.issuer.as_str()), (TokenKind::Svid, domain.alias));
    assert_eq!(principal.id.kind, PrincipalKind::Workload);
    assert!(principal.roles.is_empty() && principal.groups.is_empty() && principal.tags.is_empty());
    assert!(principal.tenant.is_none() && principal.active && facts.scopes.is_empty());
    assert!(facts.actor.is_none() && facts.client_id.is_none());
    assert!(facts.acr.is_none() && facts.amr.is_empty() && facts.auth_time.is_none());
}

const ED25519_OID: [u8; 3] = [0x2b, 0x65, 0x70];
const P256_OID: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const NAMES: [u8; 3] = [0x55, 0x1d, 0x11];
const BASIC: [u8; 3] = [0x55, 0x1d, 0x13];
const USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
const EXTENDED: [u8; 3] = [0x55, 0x1d, 0x25];
const SERVER: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// A certificate (RFC 5280 section 4.1), as far as the rules need it.
struct Read<'a> {
    signed: &'a [u8],
    signature: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    begin: i64,
    end: i64,
    /// `None` where it is of another kind: whether a workload has its key was shown in the handshake.
    key: Option<PublicKey<'a>>,
    extensions: Vec<Extension<'a>>,
}

struct Extension<'a> {
    oid: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> Read<'a> {
    fn new(der: &'a [u8]) -> Option<Self> {
        let whole = der::split(der).filter(|one| one.rest.is_empty() && one.tag == 0x30)?;
        let parts = der::each(whole.content)?;
        let [tbs, _, signature] = parts.as_slice() else { return None };
        let fields = der::each(tbs.content)?;
        let [version, _serial, _, issuer, validity, subject, key, more @ ..] = fields.as_slice() else {
            return None;
        };
        if version.whole != [0xa0, 3, 2, 1, 2] {
            return None;
        }
        let times = der::each(validity.content)?;
        let [begin, end] = times.as_slice() else { return None };
        Some(Self {
            signed: tbs.whole,
            signature: signature.content.strip_prefix(&[0])?,
            issuer: issuer.content,
            subject: subject.content,
            begin: seconds(begin)?,
            end: seconds(end)?,
            key: public_key(key),
            extensions: extensions(more)?,
        })
    }

    fn extension(&self, oid: &[u8]) -> Option<&Extension<'a>> {
        self.extensions.iter().find(|one| one.oid == oid)
    }

    fn uris(&self) -> Vec<&'a str> {
        let Some(names) = self.extension(&NAMES) else { return Vec::new() };
        let names = der::split(names.value).and_then(|names| der::each(names.content)).unwrap();
        let uris = names.iter().filter(|name| name.tag == 0x86);
        uris.map(|name| std::str::from_utf8(name.content).unwrap()).collect()
    }

    fn is_authority(&self) -> bool {
        let Some(basic) = self.extension(&BASIC) else { return false };
        der::split(basic.value).is_some_and(|basic| basic.content.starts_with(&[0x01, 0x01, 0xff]))
    }

    /// How many authorities may be below this one.
    fn most_below(&self) -> Option<u8> {
        let basic = der::split(self.extension(&BASIC)?.value)?;
        let within = der::each(basic.content)?;
        within.iter().find(|one| one.tag == 0x02).map(|one| one.content[0])
    }

    /// The first byte of the key usage.
    fn usage(&self) -> Option<u8> {
        let usage = der::split(self.extension(&USAGE)?.value)?;
        usage.content.get(1).copied()
    }

    /// X509-SVID sections 4.1 to 4.4.
    fn assert_workload(&self) {
        assert!(!self.is_authority(), "an authority was taken for a workload");
        let usage = self.usage().expect("no key usage");
        assert!(self.extension(&USAGE).unwrap().critical, "a key usage that is not critical");
        assert_eq!(usage & 0b1000_0110, 0b1000_0000, "a key for other things than signatures: {usage:08b}");
        if let Some(extended) = self.extension(&EXTENDED) {
            let uses = der::split(extended.value).and_then(|uses| der::each(uses.content)).unwrap();
            let has = |oid: &[u8]| uses.iter().any(|one| one.content == oid);
            assert!(has(&SERVER) && has(&CLIENT), "a certificate for one end of TLS");
        }
    }

    /// When the longest way to the authority ends, if there is one at all.
    fn vouched_for(&self, authority: &Read<'_>, above: &[Read<'_>], depth: u8) -> Option<i64> {
        if depth > 6 || !(self.begin..=self.end).contains(&NOW.seconds()) {
            return None;
        }
        if self.signed_by(authority) {
            return Some(self.end);
        }
        let fit = |other: &&Read<'_>| {
            let deep_enough = other.most_below().is_none_or(|most| most >= depth);
            self.signed_by(other)
                && other.is_authority()
                && deep_enough
                && other.usage().is_some_and(|usage| usage & 0b0000_0100 != 0)
        };
        let ways =
            above.iter().filter(fit).filter_map(|other| other.vouched_for(authority, above, depth + 1));
        ways.max().map(|end| end.min(self.end))
    }

    fn signed_by(&self, other: &Read<'_>) -> bool {
        let Some((algorithm, key)) = other.key else { return false };
        let key = UnparsedPublicKey::new(algorithm, key);
        self.issuer == other.subject && key.verify(self.signed, self.signature).is_ok()
    }
}

type PublicKey<'a> = (&'static dyn VerificationAlgorithm, &'a [u8]);

fn public_key<'a>(key: &Split<'a>) -> Option<PublicKey<'a>> {
    let parts = der::each(key.content)?;
    let [algorithm, key] = parts.as_slice() else { return None };
    let algorithm: &dyn VerificationAlgorithm = match algorithm.content {
        ed25519 if ed25519.ends_with(&ED25519_OID) => &ED25519,
        p256 if p256.ends_with(&P256_OID) => &ECDSA_P256_SHA256_ASN1,
        _ => return None,
    };
    Some((algorithm, key.content.strip_prefix(&[0])?))
}

fn extensions<'a>(more: &[Split<'a>]) -> Option<Vec<Extension<'a>>> {
    let Some(list) = more.iter().find(|one| one.tag == 0xa3) else { return Some(Vec::new()) };
    let list = der::each(der::split(list.content)?.content)?;
    let read = |one: &Split<'a>| {
        let parts = der::each(one.content)?;
        let (oid, value) = (parts.first()?, parts.last()?);
        Some(Extension { oid: oid.content, critical: parts.len() == 3, value: value.content })
    };
    let all: Vec<Extension<'a>> = list.iter().map(read).collect::<Option<_>>()?;
    let twice = |oid: &[u8; 3]| all.iter().filter(|one| one.oid == oid).count() > 1;
    (![NAMES, BASIC, USAGE, EXTENDED].iter().any(twice)).then_some(all)
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year (RFC 5280 section 4.1.2.5).
fn seconds(time: &Split<'_>) -> Option<i64> {
    let text = std::str::from_utf8(time.content).ok()?;
    let text = match time.tag {
        0x17 if text.as_bytes().first()? < &b'5' => format!("20{text}"),
        0x17 => format!("19{text}"),
        _ => text.to_owned(),
    };
    let number = |at: usize, end: usize| text.get(at..end)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    // Days of the civil calendar, with the year beginning in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some(days * 86_400 + number(8, 10)? * 3_600 + number(10, 12)? * 60 + number(12, 14)?)
}

fn oid(bytes: &[u8]) -> Vec<u8> {
    der::value(0x06, bytes)
}

fn name(common: &str) -> Vec<u8> {
    let pair = der::sequence(&[oid(&COMMON_NAME), der::value(0x0c, common.as_bytes())]);
    der::sequence(&[der::value(0x31, &pair)])
}

/// What is signed, with everything in it that can be wrong.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Both the name of the issuer, and who signs.
    pub signer: &'static str,
    pub subject: &'static str,
    pub validity: [&'static str; 2],
    /// Tag and text: 0x86 is a URI, 0x82 a host.
    pub names: Vec<(u8, &'static str)>,
    pub authority: Option<bool>,
    /// The first byte, and whether it is critical.
    pub usage: Option<(u8, bool)>,
    pub extended: Vec<&'static [u8]>,
}

pub const SIGNS: u8 = 0b1000_0000;
pub const SIGNS_CERTIFICATES: u8 = 0b0000_0100;
pub const BOTH_ENDS: [&[u8]; 2] = [&SERVER, &CLIENT];
/// An hour around [`NOW`].
pub const NOWADAYS: [&str; 2] = ["270115073000Z", "270115083000Z"];
pub const WEB: &str = "spiffe://prod.example.com/ns/shop/sa/web";

impl Draft {
    /// A good one of `prod`.
    pub fn workload() -> Self {
        Self {
            signer: "prod",
            subject: "workload",
            validity: NOWADAYS,
            names: vec![(0x86, WEB)],
            authority: Some(false),
            usage: Some((SIGNS, true)),
            extended: Vec::new(),
        }
    }

    /// An authority below that of `prod`.
    pub fn between() -> Self {
        Self {
            subject: "between",
            names: Vec::new(),
            authority: Some(true),
            usage: Some((SIGNS_CERTIFICATES, true)),
            ..Self::workload()
        }
    }

    pub fn tbs(&self) -> Vec<u8> {
        let ed25519 = || der::sequence(&[oid(&ED25519_OID)]);
        let key = [&[0], key(self.subject).public_key().as_ref()].concat();
        let times = self.validity.map(|time| der::value(0x17, time.as_bytes()));
        der::sequence(&[
            der::value(0xa0, &der::value(0x02, &[2])),
            der::value(0x02, &[7]),
            ed25519(),
            name(self.signer),
            der::sequence(&times),
            name(self.subject),
            der::sequence(&[ed25519(), der::value(0x03, &key)]),
            der::value(0xa3, &der::sequence(&self.extensions())),
        ])
    }

    fn extensions(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if !self.names.is_empty() {
            let names: Vec<Vec<u8>> =
                self.names.iter().map(|(tag, text)| der::value(*tag, text.as_bytes())).collect();
            all.push(extension(&NAMES, false, &der::sequence(&names)));
        }
        if let Some(authority) = self.authority {
            let basic = if authority { vec![der::value(0x01, &[0xff])] } else { Vec::new() };
            all.push(extension(&BASIC, true, &der::sequence(&basic)));
        }
        if let Some((usage, critical)) = self.usage {
            // How many bits at the end are not used, as DER wants it.
            let unused = u8::try_from(usage.trailing_zeros()).unwrap();
            all.push(extension(&USAGE, critical, &der::value(0x03, &[unused, usage])));
        }
        if !self.extended.is_empty() {
            let uses: Vec<Vec<u8>> = self.extended.iter().map(|use_| oid(use_)).collect();
            all.push(extension(&EXTENDED, false, &der::sequence(&uses)));
        }
        all
    }

    /// As a line of an input.
    pub fn line(&self) -> String {
        format!("{} {}", self.signer, BASE64_STANDARD.encode(self.tbs()))
    }
}

fn extension(kind: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { der::value(0x01, &[0xff]) } else { Vec::new() };
    der::sequence(&[oid(kind), critical, der::value(0x04, value)])
}

/// The authority of a trust domain, signed by itself.
fn root(who: &'static str) -> Vec<u8> {
    let own = Draft { signer: who, subject: who, ..Draft::between() };
    signed(who, &own.tbs())
}

/// Another input of the same form.
pub fn mutated(text: &str, random: &mut Random) -> Option<String> {
    let read = |line: &str| {
        let (signer, tbs) = line.split_once(' ')?;
        Some((signer.to_owned(), BASE64_STANDARD.decode(tbs).ok()?))
    };
    let mut lines: Vec<(String, Vec<u8>)> = text.lines().map(read).collect::<Option<_>>()?;
    let (one, other) = (random.below(lines.len().max(1)), random.below(lines.len().max(1)));
    let (signer, tbs) = lines.get_mut(one)?;
    match random.below(10) {
        0 => *signer = (*random.one_of(&SIGNERS)).to_owned(),
        1 if other != one => lines.swap(one, other),
        2 => {
            let again = lines[one].clone();
            lines.insert(other, again);
        }
        3 => drop(lines.remove(one)),
        _ => {
            let mut tree = Tree::read(tbs)?;
            for _ in 0..=random.below(2) {
                tree.change(&contents(), random);
            }
            *tbs = tree.write();
        }
    }
    let write = |(signer, tbs): &(String, Vec<u8>)| format!("{signer} {}", BASE64_STANDARD.encode(tbs));
    Some(lines.iter().map(write).collect::<Vec<_>>().join("\n"))
}

/// What may stand in a certificate and means something.
fn contents() -> Vec<Vec<u8>> {
    let texts: [&str; 14] = [
        WEB,
        "spiffe://prod.example.com/web",
        "spiffe://partner.example.org/web",
        "spiffe://prod.example.com",
        "spiffe://prod.example.com/",
        "SPIFFE://prod.example.com/web",
        "spiffe://prod.example.com/a/../b",
        "spiffe://other.example.com/web",
        "https://prod.example.com/web",
        "270115080000Z",
        "270115075959Z",
        "270116083000Z",
        "700101000000Z",
        "workload",
    ];
    let bytes: [&[u8]; 12] = [
        &NAMES,
        &BASIC,
        &USAGE,
        &EXTENDED,
        &SERVER,
        &CLIENT,
        &[0xff],
        &[0],
        &[],
        &[2, 0b0000_0100],
        &[1, 0b1000_0010],
        &[7, 0b1000_0000],
    ];
    let names = SIGNERS.map(|name| name.as_bytes().to_vec());
    let texts = texts.map(|text| text.as_bytes().to_vec());
    texts.into_iter().chain(bytes.map(<[u8]>::to_vec)).chain(names).collect()
}
