//! Finding what was, and what bringing it back would change.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{NothingThere, Plan, Target, find, plan};
use crate::aggregate::replay;
use crate::rejection::{Kind, Rejection as _};
use crate::service::release::{Difference, ReleaseNumber, Specification};
use crate::service::{Active, Event, Outcome, Service};
use crate::stream::Position;
use crate::testing::NOW;
use crate::testing::history::{
    activated, admitted, created, cut, ended, recorded, requested, service_with_release,
};
use crate::testing::values::{names, specification, variables};

fn number_of(history: Vec<Event>, target: Target) -> Result<u32, NothingThere> {
    find(&recorded(history), target).map(|(number, _)| number.0)
}

fn active(events: Vec<Event>) -> Active {
    replay::<Service>(&events).active().expect("it is in use").clone()
}

fn plain(n: u32) -> Specification {
    specification(n, BTreeMap::new())
}

/// A deployment that cut a release and did not bring it up.
fn failed(n: u32) -> [Event; 4] {
    [requested(n), admitted(n), cut(n, n, BTreeMap::new()), ended(n, Outcome::Failed)]
}

#[test]
fn a_release_is_found_by_its_number_with_all_that_it_fixed() {
    let mut history = service_with_release(1);
    history.extend([requested(2), admitted(2), cut(2, 2, variables([("A", "then")]))]);
    let found = find(&recorded(history), Target::Release(ReleaseNumber(2)));
    assert_eq!(found, Ok((ReleaseNumber(2), specification(2, variables([("A", "then")])))));
}

#[test]
fn a_release_that_was_never_cut_is_not_found() {
    let history = service_with_release(2);
    for n in [0, 3] {
        let missing = NothingThere::NoSuchRelease(ReleaseNumber(n));
        assert_eq!(number_of(history.clone(), Target::Release(ReleaseNumber(n))), Err(missing));
    }
}

#[test]
fn the_release_before_is_the_newest_that_ran_before_the_current_one() {
    assert_eq!(number_of(service_with_release(3), Target::Before), Ok(2));
    let mut history = service_with_release(2);
    history.extend(failed(3));
    history.extend([requested(4), admitted(4), cut(4, 4, BTreeMap::new()), activated(4, 4)]);
    assert_eq!(number_of(history, Target::Before), Ok(2)); // v3 never ran.
}

#[test]
fn a_release_that_is_on_its_way_is_not_the_current_one() {
    let mut history = service_with_release(2);
    history.extend([requested(3), admitted(3), cut(3, 3, BTreeMap::new())]);
    assert_eq!(number_of(history, Target::Before), Ok(1));
}

#[test]
fn there_is_no_release_before_the_first() {
    let mut gone = service_with_release(2);
    gone.push(Event::Deleted {});
    let mut first = vec![created()];
    first.extend(failed(1));
    for history in [vec![], vec![created()], first, service_with_release(1), gone] {
        assert_eq!(number_of(history, Target::Before), Err(NothingThere::NoneBefore));
    }
}

/// Each release of [`service_with_release`] takes five commits; its traffic moves with the fourth.
#[test]
fn what_was_live_at_a_position_is_found_from_the_move_of_the_traffic_on() {
    let at = |position| number_of(service_with_release(2), Target::Position(Position(position)));
    let first = 1 + 4;
    assert_eq!(at(first - 1), Err(NothingThere::NothingLive));
    assert_eq!(at(first), Ok(1));
    assert_eq!(at(first + 4), Ok(1));
    assert_eq!(at(first + 5), Ok(2));
    assert_eq!(at(u64::MAX), Ok(2));
}

#[test]
fn what_was_live_at_a_time_is_found_to_the_moment() {
    let at = |minutes| {
        let time = NOW + TimeDelta::minutes(minutes);
        number_of(service_with_release(2), Target::Time(time))
    };
    assert_eq!(at(-1), Err(NothingThere::NothingLive));
    assert_eq!(at(3), Err(NothingThere::NothingLive));
    assert_eq!(at(4), Ok(1));
    assert_eq!(at(8), Ok(1));
    assert_eq!(at(9), Ok(2));
}

/// The clocks of several servers do not agree; the order of the log counts.
#[test]
fn a_time_is_looked_for_in_the_order_of_the_log() {
    let mut history = recorded(service_with_release(2));
    let early = history[4].at;
    history[3].at = NOW + TimeDelta::hours(1); // A server whose clock was ahead cut v1.
    assert_eq!(find(&history, Target::Time(early)), Err(NothingThere::NothingLive));
    history[3].at = early - TimeDelta::hours(1);
    assert_eq!(find(&history, Target::Time(early)).map(|(number, _)| number), Ok(ReleaseNumber(1)));
}

#[test]
fn nothing_is_live_in_a_service_that_was_deleted() {
    let mut history = service_with_release(1);
    history.push(Event::Deleted {});
    let position = Target::Position(Position(u64::MAX));
    assert_eq!(number_of(history, position), Err(NothingThere::NothingLive));
}

#[test]
fn every_refusal_has_a_code_of_its_own() {
    for (refusal, code, kind) in [
        (NothingThere::NoneBefore, "no_earlier_release", Kind::Conflict),
        (NothingThere::NothingLive, "nothing_live_then", Kind::Conflict),
        (NothingThere::NoSuchRelease(ReleaseNumber(9)), "release_not_found", Kind::NotFound),
    ] {
        assert_eq!((refusal.code(), refusal.kind()), (code, kind));
        assert!(refusal.to_string().contains("switchback releases"));
    }
}

#[test]
fn a_plan_says_what_changes_for_whoever_uses_the_service() {
    let mut history = service_with_release(1);
    history.extend([Event::VariablesChanged { set: variables([("A", "2"), ("B", "1")]), unset: names([]) }]);
    history.extend([requested(2), admitted(2), cut(2, 2, variables([("A", "2"), ("B", "1")]))]);
    history.extend([activated(2, 2), ended(2, Outcome::Succeeded)]);
    let then = specification(1, variables([("A", "1"), ("C", "1")]));

    let Plan { from, to, changes, discarded } = plan(&active(history), ReleaseNumber(1), &then);
    assert_eq!((from, to), (Some(ReleaseNumber(2)), ReleaseNumber(1)));
    let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(said[2..], ["variable A changed", "variable B removed", "variable C added"]);
    assert!(matches!(changes[0], Difference::Revision { .. }), "{said:?}");
    assert!(matches!(changes[1], Difference::Artifact { .. }), "{said:?}");
    assert_eq!(discarded, vec![]);
}

#[test]
fn a_plan_back_to_the_same_changes_nothing() {
    let history = service_with_release(1);
    let live =
        Plan { from: Some(ReleaseNumber(1)), to: ReleaseNumber(1), changes: vec![], discarded: vec![] };
    assert_eq!(plan(&active(history), ReleaseNumber(1), &plain(1)), live);
}

#[test]
fn variables_that_were_changed_and_not_deployed_are_said_to_be_lost() {
    let mut history = service_with_release(2);
    history
        .push(Event::VariablesChanged { set: variables([("STAGED", "x"), ("SAME", "y")]), unset: names([]) });
    let then = specification(1, variables([("SAME", "y")]));
    let plan = plan(&active(history), ReleaseNumber(1), &then);
    // SAME comes back with the value that waits; only STAGED is lost.
    assert_eq!(plan.discarded.iter().map(ToString::to_string).collect::<Vec<_>>(), ["STAGED"]);
}

#[test]
fn a_variable_that_was_removed_and_not_deployed_is_said_to_come_back() {
    let mut history = vec![created()];
    let set = variables([("GONE", "x")]);
    history.push(Event::VariablesChanged { set: set.clone(), unset: names([]) });
    for n in [1, 2] {
        history.extend([requested(n), admitted(n), cut(n, n, set.clone()), activated(n, n)]);
        history.push(ended(n, Outcome::Succeeded));
    }
    history.push(Event::VariablesChanged { set: BTreeMap::new(), unset: names(["GONE"]) });
    let plan = plan(&active(history), ReleaseNumber(1), &specification(1, set));
    assert_eq!(plan.discarded.iter().map(ToString::to_string).collect::<Vec<_>>(), ["GONE"]);
}

#[test]
fn a_plan_where_nothing_is_live_has_nothing_to_compare_with() {
    let mut history = vec![created()];
    history.extend(failed(1));
    let plan = plan(&active(history), ReleaseNumber(1), &plain(1));
    assert_eq!((plan.from, plan.changes, plan.discarded), (None, vec![], vec![]));
}
