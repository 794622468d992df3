//! Which verified tokens count no longer.
//!
//! Asked at every decision, after the cache of verified tokens: what was cached before it was revoked is refused all
//! the same. Where revocations come from and how they travel is left to `store` and `decide`.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shards::Shards;
use crate::model::{Principal, PrincipalId, Revocation, RevocationId, RevocationTarget, Timestamp, duration};

/// How long revocations are kept, and how long making one waits for the replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RevocationConfig {
    /// How long a token can be valid: a revocation is in effect for that long. When an issuer's `max_lifetime` and
    /// `leeway` are longer together, that counts.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_token_lifetime: Duration,
    /// How long a session of an issuer can go on being refreshed: the revocation of a session is in effect for that
    /// long.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub max_session_lifetime: Duration,
    /// How long a revocation can still be looked up after it was in effect.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub keep_expired: Duration,
    /// How long making a revocation waits until every live replica has it; those that have not are named.
    #[serde(with = "duration")]
    #[schemars(with = "String")]
    pub acknowledge_wait: Duration,
}

impl Default for RevocationConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            max_token_lifetime: 2 * DAY,
            max_session_lifetime: 90 * DAY,
            keep_expired: 30 * DAY,
            acknowledge_wait: Duration::from_secs(3),
        }
    }
}

/// A token that counts no longer, and by which revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    pub by: RevocationId,
    /// What was revoked: `token`, `session`, `principal`, `client` or `issuer`.
    pub kind: &'static str,
}

/// What a revocation names, borrowed from the token that is looked at or from the revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Named<'a> {
    Token(&'a str, &'a str),
    Digest(&'a [u8; 32]),
    Session(&'a str, &'a str),
    Principal(&'a str),
    Client(&'a str, &'a str),
    Issuer(&'a str),
}

const KINDS: usize = 6;

impl<'a> Named<'a> {
    fn of(target: &'a RevocationTarget) -> Self {
        match target {
            RevocationTarget::Token { issuer, id } => Self::Token(issuer.as_str(), id),
            RevocationTarget::TokenDigest(digest) => Self::Digest(digest),
            RevocationTarget::Session { issuer, id } => Self::Session(issuer.as_str(), id),
            RevocationTarget::Principal(principal) => Self::Principal(principal.as_str()),
            RevocationTarget::Client { issuer, id } => Self::Client(issuer.as_str(), id),
            RevocationTarget::Issuer(issuer) => Self::Issuer(issuer.as_str()),
        }
    }

    const fn kind(self) -> usize {
        match self {
            Self::Token(..) => 0,
            Self::Digest(_) => 1,
            Self::Session(..) => 2,
            Self::Principal(_) => 3,
            Self::Client(..) => 4,
            Self::Issuer(_) => 5,
        }
    }
}

/// Those of one hash; nearly always of one target, and nearly always one.
type Bucket = Arc<[Arc<Revocation>]>;

/// Every revocation in effect.
#[derive(Debug)]
pub struct Revocations {
    hasher: RandomState,
    /// By the hash of the target, so that a look-up needs no copy of the names.
    by_target: Shards<u64, Bucket>,
    /// Whether there ever was one of a kind: until then no name of that kind is hashed.
    seen: [AtomicBool; KINDS],
}

impl Revocations {
    pub fn new() -> Self {
        Self { hasher: RandomState::new(), by_target: Shards::new(), seen: Default::default() }
    }

    /// Whether the token of a principal counts no longer. Who came without a token cannot be revoked: it is disabled
    /// in the directory.
    pub fn check(&self, principal: &Principal) -> Option<Revoked> {
        if self.is_empty() {
            return None;
        }
        let token = principal.token.as_ref()?;
        let issuer = token.issuer.as_str();
        let names = [
            token.token_id.as_deref().map(|id| Named::Token(issuer, id)),
            Some(Named::Digest(&token.sha256)),
            token.session_id.as_deref().map(|id| Named::Session(issuer, id)),
            Some(Named::Principal(principal.id.as_str())),
            token.client_id.as_deref().map(|id| Named::Client(issuer, id)),
            Some(Named::Issuer(issuer)),
        ];
        names.into_iter().flatten().find_map(|name| self.covering(name, token.issued_at))
    }

    /// Whether what was issued at this moment to a principal of this name counts no longer; for one that is only named.
    pub fn check_name(&self, name: &PrincipalId, issued_at: Timestamp) -> Option<Revoked> {
        if self.is_empty() {
            return None;
        }
        self.covering(Named::Principal(name.as_str()), issued_at)
    }

    fn covering(&self, name: Named<'_>, issued_at: Timestamp) -> Option<Revoked> {
        if !self.seen.get(name.kind())?.load(Ordering::Acquire) {
            return None;
        }
        let bucket = self.by_target.get(&self.hasher.hash_one(name))?;
        let hit = |revocation: &&Arc<Revocation>| {
            Named::of(&revocation.target) == name && revocation.covers(issued_at)
        };
        bucket.iter().find(hit).map(|found| Revoked { by: found.id, kind: found.target.kind() })
    }

    /// Takes in the state of one revocation. Of one, the state applied last holds: apply in the order of the feed.
    pub fn apply(&self, revocation: &Revocation) {
        let name = Named::of(&revocation.target);
        self.see(name);
        self.by_target.update(self.hasher.hash_one(name), |bucket| {
            let others = bucket.into_iter().flat_map(|bucket| bucket.iter());
            let others = others.filter(|other| other.id != revocation.id).cloned();
            let live = revocation.undone.is_none().then(|| Arc::new(revocation.clone()));
            filled(others.chain(live).collect())
        });
    }

    /// Puts these in the place of all.
    pub fn replace_all(&self, revocations: Vec<Revocation>) {
        let mut buckets: std::collections::HashMap<u64, Vec<Arc<Revocation>>> = Default::default();
        for revocation in revocations.into_iter().filter(|revocation| revocation.undone.is_none()) {
            let name = Named::of(&revocation.target);
            self.see(name);
            buckets.entry(self.hasher.hash_one(name)).or_default().push(Arc::new(revocation));
        }
        self.by_target.replace_all(buckets.into_iter().map(|(hash, bucket)| (hash, bucket.into())));
    }

    /// Forgets those that no valid token can be concerned by.
    pub fn prune(&self, now: Timestamp) {
        if self.is_empty() {
            return;
        }
        let live = |revocation: &&Arc<Revocation>| revocation.expires_at > now;
        self.by_target.refresh(
            |bucket| !bucket.iter().all(|revocation| live(&revocation)),
            |bucket| filled(bucket.iter().filter(live).cloned().collect()),
        );
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_target.len() == 0
    }

    /// How many different targets are revoked.
    pub fn len(&self) -> usize {
        self.by_target.len()
    }

    // INVARIANT: noted before it can be found, so that no reader passes over a kind that there is one of.
    fn see(&self, name: Named<'_>) {
        if let Some(seen) = self.seen.get(name.kind()) {
            seen.store(true, Ordering::Release);
        }
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

fn filled(bucket: Vec<Arc<Revocation>>) -> Option<Bucket> {
    (!bucket.is_empty()).then(|| bucket.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{TokenFacts, TokenKind, Undone};

    const TARGETS: [&str; 6] = [
        "token:dev/j-1",
        "token:sha256/0707070707070707070707070707070707070707070707070707070707070707",
        "session:dev/s-1",
        "principal:User::dev/alice",
        "client:dev/web",
        "issuer:dev",
    ];

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn revocation(number: u128, target: &str, issued_before: Option<i64>) -> Revocation {
        Revocation {
            id: RevocationId::from_uuid(uuid::Uuid::from_u128(number)),
            target: target.parse().unwrap(),
            issued_before: issued_before.map(at),
            reason: "stolen".into(),
            created_by: "root".parse().unwrap(),
            created_at: at(100),
            expires_at: at(1_000),
            undone: None,
        }
    }

    fn undone(revocation: &Revocation) -> Revocation {
        let undone = Undone { by: "root".parse().unwrap(), at: at(200), why: "found".into() };
        Revocation { undone: Some(undone), ..revocation.clone() }
    }

    fn alice(issued_at: i64) -> Principal {
        let token = TokenFacts {
            issuer: "dev".parse().unwrap(),
            kind: TokenKind::User,
            client_id: Some("web".into()),
            audience: BTreeSet::new(),
            scopes: BTreeSet::new(),
            issued_at: at(issued_at),
            expires_at: at(issued_at + 900),
            auth_time: None,
            acr: None,
            amr: BTreeSet::new(),
            sender_constrained: false,
            actor: None,
            confirmation: Default::default(),
            token_id: Some("j-1".into()),
            session_id: Some("s-1".into()),
            sha256: [7; 32],
        };
        let id: PrincipalId = "User::dev/alice".parse().unwrap();
        Principal { token: Some(token), ..Principal::bare(id) }
    }

    #[test]
    fn each_kind_of_target_finds_its_token_and_names_the_revocation() {
        for target in TARGETS {
            let revocations = Revocations::new();
            let one = revocation(1, target, None);
            revocations.apply(&one);
            let kind = one.target.kind();
            assert_eq!(revocations.check(&alice(50)), Some(Revoked { by: one.id, kind }), "{target}");
            revocations.apply(&undone(&one));
            assert_eq!(revocations.check(&alice(50)), None, "{target}");
        }
    }

    #[test]
    fn tokens_of_others_go_on() {
        let revocations = Revocations::new();
        let others = [
            "token:dev/j-2",
            "token:corp/j-1",
            "session:dev/s-2",
            "session:corp/s-1",
            "session:dev/j-1",
            "principal:User::dev/bob",
            "principal:Workload::dev/alice",
            "client:corp/web",
            "issuer:corp",
        ];
        (1..).zip(others).for_each(|(number, other)| revocations.apply(&revocation(number, other, None)));
        assert_eq!(revocations.len(), others.len());
        assert_eq!(revocations.check(&alice(50)), None);
        assert_eq!(revocations.check(&Principal::anonymous()), None);
    }

    #[test]
    fn a_token_issued_at_or_after_the_moment_counts() {
        let revocations = Revocations::new();
        revocations.apply(&revocation(1, "issuer:dev", Some(100)));
        assert!(revocations.check(&alice(99)).is_some());
        assert!(revocations.check(&alice(100)).is_none());
    }

    #[test]
    fn one_of_two_on_the_same_target_may_be_undone() {
        let revocations = Revocations::new();
        let (first, second) = (revocation(1, TARGETS[3], Some(100)), revocation(2, TARGETS[3], Some(50)));
        revocations.apply(&first);
        revocations.apply(&second);
        revocations.apply(&undone(&first));
        assert!(revocations.check(&alice(49)).is_some());
        assert!(revocations.check(&alice(60)).is_none());
    }

    #[test]
    fn what_concerns_no_valid_token_is_forgotten() {
        let revocations = Revocations::new();
        revocations.apply(&revocation(1, "issuer:dev", None));
        revocations.prune(at(999));
        assert!(revocations.check(&alice(50)).is_some());
        revocations.prune(at(1_000));
        assert!(revocations.is_empty());
    }

    /// A step of a history: make a revocation, take one back, forget the old ones, or load everything afresh.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Revoke { target: usize, issued_before: Option<i64> },
        Undo(usize),
        Prune(i64),
        Load,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..TARGETS.len(), proptest::option::of(0..100_i64))
                .prop_map(|(target, issued_before)| Step::Revoke { target, issued_before }),
            3 => (0..20_usize).prop_map(Step::Undo),
            1 => (0..2_000_i64).prop_map(Step::Prune),
            1 => Just(Step::Load),
        ]
    }

    proptest! {
        /// Whatever happened in whatever order, a token is refused exactly when a live revocation covers it.
        #[test]
        fn no_history_lets_a_revoked_token_pass(steps in proptest::collection::vec(step(), 0..40)) {
            let revocations = Revocations::new();
            let mut made: Vec<Revocation> = Vec::new();
            for step in steps {
                match step {
                    Step::Revoke { target, issued_before } => {
                        let number = made.len() as u128;
                        made.push(revocation(number, TARGETS[target], issued_before));
                        revocations.apply(made.last().unwrap());
                    }
                    Step::Undo(index) => if let Some(one) = made.get_mut(index) {
                        *one = undone(one);
                        revocations.apply(one);
                    },
                    Step::Prune(now) => {
                        revocations.prune(at(now));
                        made.iter_mut().filter(|one| one.expires_at <= at(now)).for_each(|one| *one = undone(one));
                    }
                    Step::Load => revocations.replace_all(made.clone()),
                }
                for issued_at in [0, 30, 60, 100] {
                    let wanted = made.iter().any(|one| one.covers(at(issued_at)));
                    prop_assert_eq!(revocations.check(&alice(issued_at)).is_some(), wanted);
                }
            }
        }
    }
}
