//! What is brought back and is not there any more is built again, by the plan that it was built by.

use super::{complete, start, succeeded};
use crate::deployment::step::{Fence, Output, Step};
use crate::deployment::{Command, Deployment, Event, Rejection, Work};
use crate::service::Subject;
use crate::service::release::Build;
use crate::testing::history::{back_to, deployment_before, deployment_of, output, step_started};
use crate::testing::values::{artifact, build, plan, revision};
use crate::testing::{NOW, given};

fn missing() -> Output {
    Output::ArtifactMissing { build: Box::new(build(1)) }
}

/// A deployment that has found out that what it brings back is missing, when it cut for the first time.
fn found_missing(subject: Subject) -> Vec<Event> {
    let mut events = deployment_of(subject, Step::Cut);
    events.push(step_started(Step::Cut, 1, 1, NOW));
    events.push(Event::StepSucceeded { fence: Fence(1), output: missing() });
    events
}

fn did(events: &mut Vec<Event>, fence: u32, output: Output) {
    events.push(step_started(output.step(), 1, fence, NOW));
    events.push(Event::StepSucceeded { fence: Fence(fence), output });
}

#[test]
fn a_cut_may_find_out_that_what_it_brings_back_is_missing() {
    let mut cutting = deployment_of(back_to(1), Step::Cut);
    cutting.push(step_started(Step::Cut, 1, 1, NOW));
    given::<Deployment>(cutting)
        .when(Command::Complete { fence: Fence(1), output: missing() })
        .then([Event::StepSucceeded { fence: Fence(1), output: missing() }]);
}

#[test]
fn then_it_is_fetched_built_and_pushed_but_not_detected_again() {
    for subject in [back_to(1), Subject::Configuration {}] {
        let mut events = found_missing(subject);
        for (fence, step) in [(2, Step::Fetch), (3, Step::Build), (4, Step::Push)] {
            given::<Deployment>(events.clone())
                .when(start(Work::Do(step)))
                .then([step_started(step, 1, fence, NOW)]);
            did(&mut events, fence, output(step, 2));
        }
        // The next cut has another number than the one before: each try is one item of work.
        given::<Deployment>(events.clone()).when(start(Work::Do(Step::Cut))).then([step_started(
            Step::Cut,
            2,
            5,
            NOW,
        )]);
        let state = given::<Deployment>(events).state();
        let facts = state.facts().expect("begun");
        let built = Build { artifact: artifact(2), revision: Some(revision(2)), plan: plan(), ..build(1) };
        assert_eq!(facts.build(), Some(built));
    }
}

#[test]
fn what_is_missing_twice_is_not_built_for_ever() {
    let mut events = found_missing(back_to(1));
    for (fence, step) in [(2, Step::Fetch), (3, Step::Build), (4, Step::Push)] {
        did(&mut events, fence, output(step, 2));
    }
    events.push(step_started(Step::Cut, 2, 5, NOW));
    given::<Deployment>(events.clone())
        .when(Command::Complete { fence: Fence(5), output: missing() })
        .then_rejected(&Rejection::NotNow(Work::Do(Step::Cut)));
    given::<Deployment>(events).when(complete(Step::Cut, 5)).then([succeeded(Step::Cut, 5)]);
}

#[test]
fn what_was_built_by_the_deployment_itself_is_not_built_again_and_what_was_reused_is() {
    let mut events = deployment_before(Step::Cut);
    events.push(step_started(Step::Cut, 1, 5, NOW));
    given::<Deployment>(events)
        .when(Command::Complete { fence: Fence(5), output: missing() })
        .then_rejected(&Rejection::NotNow(Work::Do(Step::Cut)));
    let mut events = deployment_before(Step::Build);
    did(&mut events, 3, Output::Build { reused: Some(artifact(1)) });
    did(&mut events, 4, Output::Push { artifact: artifact(1) });
    events.push(step_started(Step::Cut, 1, 5, NOW));
    given::<Deployment>(events)
        .when(Command::Complete { fence: Fence(5), output: missing() })
        .then([Event::StepSucceeded { fence: Fence(5), output: missing() }]);
}
