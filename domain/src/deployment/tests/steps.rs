//! From step to step: taking up, taking over, completing.

use chrono::TimeDelta;

use super::{complete, over_and_live, start, succeeded};
use crate::deployment::step::{Fence, Output, Step};
use crate::deployment::{Command, Deployment, Event, Rejection, Work};
use crate::service::Subject;
use crate::service::release::ReleaseNumber;
use crate::testing::history::{
    LIMIT_MS, back_to, deployment_before, deployment_doing, deployment_of, step_started,
};
use crate::testing::values::{artifact, build, instances, plan, revision};
use crate::testing::{NOW, given};

#[test]
fn the_first_step_of_a_source_is_to_fetch_it() {
    given::<Deployment>(deployment_before(Step::Fetch))
        .when(start(Work::Do(Step::Fetch)))
        .then([step_started(Step::Fetch, 1, 1, NOW)]);
}

#[test]
fn what_is_built_already_is_not_built_again() {
    for subject in [Subject::Configuration {}, back_to(1)] {
        given::<Deployment>(deployment_of(subject, Step::Cut))
            .when(start(Work::Do(Step::Cut)))
            .then([step_started(Step::Cut, 1, 1, NOW)]);
    }
}

#[test]
fn a_step_has_its_limit_from_when_it_is_taken_up() {
    let later = NOW + TimeDelta::hours(3);
    given::<Deployment>(deployment_before(Step::Build))
        .when_at(later, start(Work::Do(Step::Build)))
        .then([step_started(Step::Build, 1, 3, later)]);
}

#[test]
fn only_the_next_step_can_be_taken_up() {
    for step in Step::ALL.into_iter().filter(|step| *step != Step::Push) {
        given::<Deployment>(deployment_before(Step::Push))
            .when(start(Work::Do(step)))
            .then_rejected(&Rejection::NotNow(Work::Do(step)));
    }
    given::<Deployment>(deployment_before(Step::Push))
        .when(start(Work::Undo(Step::Push)))
        .then_rejected(&Rejection::NotNow(Work::Undo(Step::Push)));
}

#[test]
fn each_step_completes_and_the_next_one_is_to_be_done() {
    for (step, next) in Step::ALL.into_iter().zip(Step::ALL.into_iter().skip(1)) {
        let fence = given::<Deployment>(deployment_doing(step)).state().facts().expect("begun").fence.0;
        let live = (step == Step::Activate).then_some(Event::WentLive { release: ReleaseNumber(1) });
        let events: Vec<_> = [succeeded(step, fence)].into_iter().chain(live).collect();
        given::<Deployment>(deployment_doing(step)).when(complete(step, fence)).then(events.clone());
        let after = given::<Deployment>(deployment_doing(step).into_iter().chain(events)).state();
        assert_eq!(after.task().map(|task| task.work), Some(Work::Do(next)));
    }
}

#[test]
fn a_deployment_is_over_when_the_release_before_is_retired() {
    given::<Deployment>(deployment_doing(Step::Retire))
        .when(complete(Step::Retire, 10))
        .then([succeeded(Step::Retire, 10)]);
    let state = given::<Deployment>(over_and_live()).state();
    assert!(matches!(state, Deployment::Over { why: None, .. }), "{state:?}");
    assert_eq!(state.task(), None);
}

#[test]
fn a_worker_that_takes_over_has_a_higher_fence_and_the_same_try() {
    let later = NOW + TimeDelta::minutes(5);
    given::<Deployment>(deployment_doing(Step::Build))
        .when_at(later, start(Work::Do(Step::Build)))
        .then([step_started(Step::Build, 1, 4, later)]);
}

#[test]
fn a_worker_that_was_taken_over_from_is_refused_when_it_completes() {
    let history = deployment_doing(Step::Build).into_iter().chain([step_started(Step::Build, 1, 4, NOW)]);
    given::<Deployment>(history.clone())
        .when(complete(Step::Build, 3))
        .then_rejected(&Rejection::Fenced { given: Fence(3), newest: Fence(4) });
    given::<Deployment>(history).when(complete(Step::Build, 4)).then([succeeded(Step::Build, 4)]);
}

#[test]
fn a_step_that_nobody_has_in_hand_is_not_completed() {
    given::<Deployment>(deployment_before(Step::Build))
        .when(complete(Step::Build, 2))
        .then_rejected(&Rejection::Fenced { given: Fence(2), newest: Fence(2) });
}

#[test]
fn what_another_step_found_out_is_refused() {
    given::<Deployment>(deployment_doing(Step::Build))
        .when(complete(Step::Push, 3))
        .then_rejected(&Rejection::NotNow(Work::Do(Step::Push)));
}

#[test]
fn completing_again_is_refused_and_changes_nothing() {
    let history = deployment_doing(Step::Build).into_iter().chain([succeeded(Step::Build, 3)]);
    given::<Deployment>(history)
        .when(complete(Step::Build, 3))
        .then_rejected(&Rejection::NotNow(Work::Do(Step::Build)));
}

#[test]
fn a_deployment_knows_what_its_steps_found_out() {
    let state = given::<Deployment>(deployment_before(Step::Retire)).state();
    let facts = state.facts().expect("begun");
    assert_eq!(facts.revision, Some(revision(1)));
    assert_eq!(facts.plan.as_deref(), Some(&plan()));
    assert_eq!(facts.artifact, Some(artifact(1)));
    assert_eq!(facts.release, Some(ReleaseNumber(1)));
    assert_eq!(facts.instances, instances(1, 1));
    assert_eq!(facts.build(), Some(build(1)));
}

#[test]
fn what_was_built_is_known_once_it_is_pushed_and_only_when_it_was_built_here() {
    let build_of = |events| given::<Deployment>(events).state().facts().and_then(|facts| facts.build());
    assert_eq!(build_of(deployment_before(Step::Push)), None);
    assert!(build_of(deployment_before(Step::Cut)).is_some());
    assert_eq!(build_of(deployment_of(back_to(1), Step::Retire)), None);
}

#[test]
fn an_artifact_that_was_there_already_is_known_by_its_digest() {
    let reused = Output::Build { reused: Some(artifact(7)) };
    let history = deployment_doing(Step::Build)
        .into_iter()
        .chain([Event::StepSucceeded { fence: Fence(3), output: reused.clone() }]);
    given::<Deployment>(deployment_doing(Step::Build))
        .when(Command::Complete { fence: Fence(3), output: reused.clone() })
        .then([Event::StepSucceeded { fence: Fence(3), output: reused }]);
    let state = given::<Deployment>(history).state();
    assert_eq!(state.facts().and_then(|facts| facts.reused.clone()), Some(artifact(7)));
}

#[test]
fn the_limit_given_is_the_deadline_recorded() {
    let limit = i64::from(LIMIT_MS);
    let Event::StepStarted { deadline, .. } = step_started(Step::Fetch, 1, 1, NOW) else { panic!() };
    assert_eq!((deadline - NOW).num_milliseconds(), limit);
}
