//! The counters against an exact model: a list of every call.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::model::Rate;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn counters(max_rate_subjects: usize) -> RateCounters {
    RateCounters::new(&Config { max_rate_subjects, ..Config::default() })
}

fn noon(micros: i64) -> Timestamp {
    Timestamp::from_micros(Timestamp::parse("2026-11-23T12:00:00Z").unwrap().micros() + micros)
}

fn user(number: usize) -> PrincipalId {
    format!("User::dev/{number}").parse().unwrap()
}

fn endpoint(template: &str) -> EndpointId {
    EndpointId::new(&"orders".parse().unwrap(), "GET", template)
}

fn prefix(address: &str) -> Subject {
    Subject::prefix_of(address.parse().unwrap()).unwrap()
}

fn by(counters: &RateCounters, principal: &PrincipalId, now: Timestamp) -> Rate {
    let principal = Some(CountedPrincipal::Proven(principal));
    counters.count(&Counted { principal, ..Counted::default() }, now).principal
}

/// Every call of one subject, in microseconds.
#[derive(Default)]
struct Exact(Vec<i64>);

impl Exact {
    /// The calls after `start`.
    fn since(&self, start: i64) -> u32 {
        u32::try_from(self.0.iter().filter(|at| **at > start).count()).unwrap()
    }

    /// At least the window, at most the window and one slice more.
    fn check(&self, rate: Rate, now: i64) {
        let found = [rate.last_second, rate.last_minute, rate.last_hour];
        let windows = [(SECOND, SECOND / 8), (MINUTE, MINUTE / 10), (HOUR, HOUR / 10)];
        for (found, (window, slice)) in found.into_iter().zip(windows) {
            let (least, most) = (self.since(now - window), self.since(now - window - slice));
            assert!(least <= found && found <= most, "{found} of {least} to {most} in {window} us");
        }
    }
}

#[test]
fn a_call_counts_for_its_principal_its_endpoint_and_its_network() {
    let counters = counters(64);
    let (alice, bob) = (user(1), user(2));
    let (orders, health) = (endpoint("/orders"), endpoint("/health"));
    let (here, there) = (prefix("192.0.2.7"), prefix("198.51.100.7"));
    let call = |principal, endpoint, prefix| {
        let counted = Counted {
            principal: Some(CountedPrincipal::Proven(principal)),
            endpoint: Some(CountedEndpoint::Call(endpoint)),
            prefix: Some(prefix),
        };
        let rates = counters.count(&counted, noon(0));
        [rates.principal, rates.principal_endpoint, rates.network].map(|rate| rate.last_minute)
    };
    assert_eq!(call(&alice, &orders, &here), [1, 1, 1]);
    assert_eq!(call(&alice, &orders, &here), [2, 2, 2]);
    assert_eq!(call(&alice, &health, &there), [3, 1, 1]);
    assert_eq!(call(&bob, &orders, &here), [1, 1, 3]);
    assert_eq!(call(&bob, &orders, &prefix("192.0.2.200")), [2, 2, 4]);
}

#[test]
fn what_is_absent_is_not_counted() {
    let counters = counters(64);
    let orders = endpoint("/orders");
    let nobody = Counted { endpoint: Some(CountedEndpoint::Call(&orders)), ..Counted::default() };
    assert_eq!(counters.count(&nobody, noon(0)), Rates::default());
    let here = prefix("192.0.2.7");
    let rates = counters.count(&Counted { prefix: Some(&here), ..nobody }, noon(0));
    assert_eq!(
        (rates.network.last_second, rates.principal, rates.principal_endpoint),
        (1, Rate::default(), Rate::default())
    );
}

#[test]
fn a_named_principal_is_the_proven_one_of_that_name() {
    let counters = counters(64);
    let alice: PrincipalId = "User::dev/alice".parse().unwrap();
    by(&counters, &alice, noon(0));
    let entity = |entity_type: &str, id: &str| EntityRef { entity_type: entity_type.into(), id: id.into() };
    let named = |entity: &EntityRef| {
        let principal = Some(CountedPrincipal::Named(entity));
        counters.count(&Counted { principal, ..Counted::default() }, noon(0)).principal.last_hour
    };
    assert_eq!(named(&entity("api::User", "dev/alice")), 2);
    assert_eq!(named(&entity("api::Workload", "dev/alice")), 1);
    assert_eq!(named(&entity("Shop::Clerk", "dev/alice")), 1);
}

#[test]
fn questions_count_by_action_and_type_of_resource() {
    let counters = counters(64);
    let alice = user(1);
    let action = |id: &str| EntityRef { entity_type: "Shop::Action".into(), id: id.into() };
    let ask = |action: &EntityRef, resource_type| {
        let endpoint = Some(CountedEndpoint::Question { action, resource_type });
        let principal = Some(CountedPrincipal::Proven(&alice));
        counters.count(&Counted { principal, endpoint, prefix: None }, noon(0)).principal_endpoint.last_second
    };
    let (view, approve) = (action("view"), action("approve"));
    assert_eq!([ask(&view, "Shop::Order"), ask(&view, "Shop::Order")], [1, 2]);
    assert_eq!([ask(&approve, "Shop::Order"), ask(&view, "Shop::Invoice")], [1, 1]);
}

#[test]
fn counts_expire_after_their_window_and_a_slice() {
    let counters = counters(64);
    let alice = user(1);
    (0..60).for_each(|_| {
        by(&counters, &alice, noon(0));
    });
    assert_eq!(by(&counters, &alice, noon(SECOND - 1)).last_second, 61);
    let rate = by(&counters, &alice, noon(2 * SECOND + SECOND / 8));
    assert_eq!((rate.last_second, rate.last_minute), (1, 62));
    let rate = by(&counters, &alice, noon(2 * MINUTE + MINUTE / 10));
    assert_eq!((rate.last_minute, rate.last_hour), (1, 63));
    assert_eq!(by(&counters, &alice, noon(2 * HOUR + HOUR / 10)).last_hour, 1);
}

#[test]
fn a_clock_that_was_far_ahead_leaves_nobody_limited() {
    let counters = counters(8);
    let alice = user(1);
    (0..100).for_each(|_| {
        by(&counters, &alice, noon(24 * 365 * HOUR));
    });
    let rate = by(&counters, &alice, noon(0));
    assert_eq!((rate.last_second, rate.last_minute, rate.last_hour), (1, 1, 1));
    // What else was counted then is the first to go.
    (2..9).for_each(|number| {
        by(&counters, &user(number), noon(24 * 365 * HOUR));
    });
    (9..16).for_each(|number| {
        by(&counters, &user(number), noon(1));
    });
    assert_eq!(by(&counters, &alice, noon(2)).last_minute, 2);
}

/// Pauses of all sizes, most of them short.
fn pauses() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..SECOND / 4,
        2 => 0..2 * SECOND,
        2 => 0..MINUTE / 4,
        1 => 0..HOUR / 4,
    ]
}

proptest! {
    #[test]
    fn a_rate_is_exact_to_a_slice(
        start in 0..HOUR, calls in proptest::collection::vec((0_usize..4, pauses()), 1..300),
    ) {
        let counters = counters(4_096);
        let mut exact: HashMap<usize, Exact> = HashMap::new();
        let mut now = noon(start).micros();
        for (subject, pause) in calls {
            now += pause;
            let model = exact.entry(subject).or_default();
            model.0.push(now);
            model.check(by(&counters, &user(subject), Timestamp::from_micros(now)), now);
        }
    }

    /// While the clock is behind by less than a window, the numbers are those of the latest moment it showed.
    #[test]
    fn a_clock_that_goes_back_loses_nothing(
        start in 0..HOUR, calls in proptest::collection::vec((pauses(), 0..SECOND), 1..200),
    ) {
        let counters = counters(8);
        let mut exact = Exact::default();
        let mut latest = noon(start).micros();
        for (pause, back) in calls {
            latest += pause;
            let now = latest - back;
            exact.0.push(now);
            let rate = by(&counters, &user(1), Timestamp::from_micros(now));
            prop_assert!(rate.last_second >= exact.since(latest - SECOND).max(1));
            prop_assert!(rate.last_minute >= exact.since(latest - MINUTE));
            prop_assert!(rate.last_hour >= exact.since(latest - HOUR));
            prop_assert!(rate.last_hour <= exact.since(i64::MIN));
        }
    }

    /// One set of eight: who is forgotten is always the one that called least recently.
    #[test]
    fn under_pressure_the_idle_go_first(calls in proptest::collection::vec(0_usize..12, 1..300)) {
        let counters = counters(8);
        let mut known: HashMap<usize, Exact> = HashMap::new();
        for (number, subject) in calls.into_iter().enumerate() {
            let now = noon(i64::try_from(number).unwrap() * SECOND / 3).micros();
            if known.len() == 8 && !known.contains_key(&subject) {
                let idlest = *known.iter().min_by_key(|(_, calls)| calls.0.last()).unwrap().0;
                known.remove(&idlest);
            }
            let model = known.entry(subject).or_default();
            model.0.push(now);
            model.check(by(&counters, &user(subject), Timestamp::from_micros(now)), now);
        }
    }

    #[test]
    fn no_clock_breaks_it(moments in proptest::collection::vec(any::<i64>(), 1..50)) {
        let counters = counters(8);
        for micros in moments {
            let rate = by(&counters, &user(1), Timestamp::from_micros(micros));
            prop_assert!(rate.last_second >= 1 && rate.last_minute >= 1 && rate.last_hour >= 1);
        }
    }
}
