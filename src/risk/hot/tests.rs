//! The hot state as a follower and a decision use it.

use proptest::prelude::*;
use uuid::Uuid;

use super::super::signal::Effect;
use super::*;
use crate::model::signal::Cleared;
use crate::model::{RiskFlags, RiskLevel};

const HOUR: Duration = Duration::from_secs(3_600);

fn now() -> Timestamp {
    Timestamp::parse("2026-11-22T10:00:00Z").unwrap()
}

fn signal(number: u128, subject: &str, kind: &str) -> Signal {
    Signal {
        id: SignalId::from_uuid(Uuid::from_u128(number)),
        subject: subject.parse().unwrap(),
        kind: kind.into(),
        strength: 1.0,
        confidence: 1.0,
        life: super::kind(kind).map_or(SignalLife::UntilCleared, |kind| kind.life),
        source: "waf-eu-1".into(),
        evidence: "AS64500".into(),
        dedup_key: None,
        observed_at: now(),
        recorded_by: "sensor".parse().unwrap(),
        recorded_at: now(),
        cleared: None,
    }
}

fn cleared(signal: &Signal) -> Signal {
    let cleared = Cleared { by: "analyst".parse().unwrap(), at: now(), why: "a false alarm".into() };
    Signal { cleared: Some(cleared), ..signal.clone() }
}

const ALICE: &str = "principal:User::dev/alice";
const SESSION: &str = "session:dev/s-1";
const DEVICE: &str = "device:edge/laptop-7";
const PREFIX: &str = "prefix:192.0.2.0/24";

fn about() -> About {
    About {
        principal: Some(ALICE.parse().unwrap()),
        session: Some(SESSION.parse().unwrap()),
        token: Some("token:dev/j-1".parse().unwrap()),
        token_digest: Some(Subject::TokenDigest([7; 32])),
        device: Some(DEVICE.parse().unwrap()),
        prefix: Some(PREFIX.parse().unwrap()),
    }
}

fn holding(signals: &[Signal]) -> Signals {
    let state = Signals::new(Config::default()).unwrap();
    for signal in signals {
        state.apply(signal);
    }
    state
}

fn assess(signals: &[Signal]) -> Risk {
    holding(signals).assess([&about()], now(), Freshness::Fresh)
}

#[test]
fn a_caller_without_signals_is_no_risk() {
    assert_eq!(assess(&[]), Risk::default());
    assert_eq!(assess(&[signal(1, "principal:User::dev/bob", "token_replay")]), Risk::default());
}

#[test]
fn a_new_network_and_a_new_device_are_exactly_a_step_up() {
    let risk = assess(&[signal(1, ALICE, "new_network"), signal(2, SESSION, "new_device")]);
    assert_eq!((risk.score, risk.level), (30, RiskLevel::Medium));
    let kinds: Vec<&str> = risk.reasons.iter().map(|reason| reason.kind.as_str()).collect();
    assert_eq!(kinds, ["new_device", "new_network"]);
    assert_eq!(
        risk.reasons[1].text,
        "A network that this caller has not used before: AS64500 (seen by waf-eu-1, 2026-11-22T10:00:00Z)"
    );
    assert_eq!(risk.confidence, 75);
}

#[test]
fn a_replayed_token_is_critical_alone() {
    for subject in [SESSION.to_owned(), "token:dev/j-1".to_owned(), Subject::TokenDigest([7; 32]).to_string()]
    {
        let risk = assess(&[signal(1, &subject, "token_replay")]);
        assert_eq!((risk.score, risk.level), (87, RiskLevel::Critical), "{subject}");
    }
}

#[test]
fn what_the_device_and_the_network_hold_counts_half() {
    let risk = assess(&[signal(1, PREFIX, "spray_source"), signal(2, DEVICE, "failure_burst")]);
    assert_eq!(risk.score, 25);
}

#[test]
fn one_observation_reported_twice_is_one() {
    let once = assess(&[signal(1, ALICE, "new_device")]);
    assert_eq!(once.score, 17);
    assert_eq!(assess(&[signal(1, ALICE, "new_device"), signal(2, SESSION, "new_device")]).score, 17);
}

#[test]
fn reasons_are_the_three_that_weigh_most() {
    let kinds = ["off_hours", "new_device", "rate_surge", "enumeration"];
    let signals: Vec<Signal> =
        kinds.iter().zip(1..).map(|(kind, number)| signal(number, ALICE, kind)).collect();
    let risk = assess(&signals);
    let named: Vec<&str> = risk.reasons.iter().map(|reason| reason.kind.as_str()).collect();
    assert_eq!(named, ["enumeration", "rate_surge", "new_device"]);
    assert!(risk.reasons.is_sorted_by(|a, b| a.points >= b.points));
}

#[test]
fn hard_facts_raise_flags_and_are_named_without_points() {
    let risk = assess(&[signal(1, ALICE, "account_disabled"), signal(2, DEVICE, "device_lost")]);
    assert_eq!(risk.flags, RiskFlags { account_disabled: true, device_lost: true, ..RiskFlags::default() });
    assert_eq!((risk.score, risk.reasons.len()), (0, 2));
    let risk = assess(&[signal(1, SESSION, "session_revoked"), signal(2, "token:dev/j-1", "token_revoked")]);
    assert!(risk.flags.session_revoked && risk.flags.token_revoked);
}

#[test]
fn a_cleared_signal_no_longer_counts() {
    let one = signal(1, ALICE, "new_network");
    let state = holding(std::slice::from_ref(&one));
    assert_eq!(state.apply(&cleared(&one)), Applied::Cleared);
    assert_eq!(state.apply(&cleared(&one)), Applied::Unchanged);
    assert!(state.is_empty());
}

#[test]
fn applying_twice_changes_nothing_and_a_refresh_replaces() {
    let one = signal(1, ALICE, "new_network");
    let state = holding(std::slice::from_ref(&one));
    assert_eq!(state.apply(&one), Applied::Unchanged);
    let later = now().plus(HOUR);
    assert_eq!(state.apply(&Signal { observed_at: later, ..one }), Applied::Refreshed);
    assert_eq!(state.len(), 1);
    assert_eq!(state.assess([&about()], later, Freshness::Fresh).score, 17);
}

#[test]
fn an_unknown_kind_is_not_weighed() {
    let state = holding(&[]);
    assert_eq!(state.apply(&signal(1, ALICE, "from_the_future")), Applied::UnknownKind);
    assert_eq!(state.replace_all(vec![signal(1, ALICE, "from_the_future")]), 0);
}

#[test]
fn replacing_forgets_what_was_held() {
    let state = holding(&[signal(1, ALICE, "new_network")]);
    let other = signal(2, ALICE, "new_device");
    assert_eq!(state.replace_all(vec![other.clone(), cleared(&signal(3, ALICE, "ramp"))]), 1);
    assert_eq!(state.apply(&other), Applied::Unchanged);
}

#[test]
fn stale_signals_are_at_least_medium() {
    let state = holding(&[signal(1, ALICE, "new_device")]);
    let stale = state.assess([&about()], now(), Freshness::Stale);
    assert_eq!((stale.score, stale.level, stale.stale), (17, RiskLevel::Medium, true));
    assert!(stale.confidence < state.assess([&about()], now(), Freshness::Fresh).confidence);
    assert_eq!(state.assess([&About::default()], now(), Freshness::Dead).level, RiskLevel::Medium);
    let critical = holding(&[signal(1, SESSION, "token_replay")]).assess([&about()], now(), Freshness::Stale);
    assert_eq!(critical.level, RiskLevel::Critical);
}

#[test]
fn pruning_changes_no_score() {
    let brief = Signal { life: SignalLife::HalfLife(HOUR), ..signal(1, ALICE, "new_network") };
    let state = holding(&[brief, signal(2, ALICE, "token_replay"), signal(3, SESSION, "token_replay")]);
    let later = now().plus(24 * HOUR);
    let before = state.assess([&about()], later, Freshness::Fresh);
    assert_eq!((state.prune(now()), state.prune(later)), (0, 1));
    assert_eq!(state.assess([&about()], later, Freshness::Fresh), before);
}

#[test]
fn the_live_window_outlasts_every_signal() {
    let state = holding(&[]);
    let longest = Signal {
        life: SignalLife::HalfLife(Config::default().max_half_life),
        ..signal(1, SESSION, "token_replay")
    };
    state.apply(&longest);
    assert_eq!(state.prune(now().plus(state.live_window()).minus(HOUR)), 0);
    assert_eq!(state.prune(now().plus(state.live_window()).plus(HOUR)), 1);
}

#[test]
fn an_explanation_accounts_for_every_signal() {
    let old = Signal { observed_at: now().minus(2 * HOUR), ..signal(4, ALICE, "idp_risk_high") };
    let faded = Signal { observed_at: now().minus(200 * HOUR), ..signal(5, ALICE, "ramp") };
    let weak = Signal { strength: 0.5, ..signal(2, SESSION, "new_network") };
    let facts = [signal(6, DEVICE, "device_lost"), signal(3, ALICE, "idp_risk_low")];
    let state = holding(&[&[signal(1, ALICE, "new_network"), weak, old, faded], &facts[..]].concat());
    let explained = state.explain(&about(), now(), Freshness::Fresh);
    assert_eq!(explained.risk, state.assess([&about()], now(), Freshness::Fresh));
    let standing = |number: u128| {
        let id = SignalId::from_uuid(Uuid::from_u128(number));
        explained.contributions.iter().find(|one| one.signal.id == id).unwrap().standing
    };
    use super::super::Standing::{Counts, Fact, Faded, Superseded, Weaker};
    assert_eq!([1, 2, 3, 4, 5, 6].map(standing), [Counts, Weaker, Counts, Superseded, Faded, Fact]);
}

#[test]
fn the_subjects_of_a_principal_come_from_its_token() {
    assert_eq!(*About::principal(&Principal::anonymous()), About::default());
    let bare = About::principal(&Principal::bare("User::dev/alice".parse().unwrap()));
    assert_eq!(*bare, About { principal: Some(ALICE.parse().unwrap()), ..About::default() });
}

/// Signals about the subjects of the call, each with an id of its own.
fn signals() -> impl Strategy<Value = Vec<Signal>> {
    let rows: Vec<_> =
        kinds().flat_map(|kind| kind.subjects.iter().map(move |subject| (kind, *subject))).collect();
    let one = (prop::sample::select(rows), 0.0..=1.0f64, 0.0..=1.0f64, 0..200u64);
    prop::collection::vec(one, 0..14).prop_map(|drawn| {
        let made =
            drawn.into_iter().zip(1..).map(|(((kind, subject), strength, confidence, hours), number)| {
                let subjects = about();
                let subjects = subjects.subjects().map(|(_, subject)| subject);
                let subject = subjects.into_iter().find(|known| known.kind() == subject).unwrap().to_string();
                let observed_at = now().minus(Duration::from_secs(600 * hours));
                Signal { strength, confidence, observed_at, ..signal(number, &subject, kind.code) }
            });
        made.collect()
    })
}

fn only_raises(signal: &Signal) -> bool {
    let raises = |effect| matches!(effect, Effect::Points { cap } if cap > 0.0);
    kind(&signal.kind).is_some_and(|kind| kind.topic.is_none() && raises(kind.effect))
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(
        (ordered, shuffled) in signals().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        gone in any::<prop::sample::Index>(),
    ) {
        let (left, right) = (holding(&ordered), holding(&shuffled));
        if !ordered.is_empty() {
            let gone = cleared(&ordered[gone.index(ordered.len())]);
            left.apply(&gone);
            right.apply(&gone);
        }
        let state = |signals: &Signals| signals.assess([&about()], now(), Freshness::Fresh);
        prop_assert_eq!(state(&left), state(&right));
        let loaded = holding(&[]);
        loaded.replace_all(ordered);
        prop_assert!(loaded.len() >= left.len());
    }

    #[test]
    fn scores_are_bounded_and_reasons_are_registered(all in signals()) {
        let risk = assess(&all);
        prop_assert!(risk.score <= 100 && risk.confidence <= 100);
        prop_assert!(risk.reasons.iter().all(|reason| kind(&reason.kind).is_some()));
        prop_assert_eq!(risk.level, RiskLevel::of_score(risk.score));
    }

    #[test]
    fn a_stronger_signal_never_lowers_the_score(mut all in signals(), which in any::<prop::sample::Index>(), more in 0.0..1.0f64) {
        all.retain(only_raises);
        let before = assess(&all).score;
        if !all.is_empty() {
            let chosen = which.index(all.len());
            all[chosen].strength = (all[chosen].strength + more).min(1.0);
        }
        prop_assert!(assess(&all).score >= before);
    }

    #[test]
    fn time_alone_never_raises_the_score(mut all in signals(), hours in 0..500u64) {
        all.retain(|signal| signal.kind != "fresh_step_up");
        let state = holding(&all);
        let later = state.assess([&about()], now().plus(Duration::from_secs(600 * hours)), Freshness::Fresh);
        prop_assert!(later.score <= state.assess([&about()], now(), Freshness::Fresh).score);
    }
}
