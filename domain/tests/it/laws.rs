//! Laws of every aggregate, for any sequence of commands.
//!
//! Nothing panics; the same command in the same state is decided the same way; the state is the fold of its
//! events; every event reads back from the wire and fits its schema; a command given again changes nothing,
//! or is one of the few that are named in [`Again`]; and what each aggregate says of itself on top of its
//! file holds after every event.

mod claim;
mod deployment;
mod people;
mod project;
mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use chrono::TimeDelta;
use domain::aggregate::{Aggregate, replay};
use domain::event::{Event, all_types, schema};
use domain::testing::{NOW, context_at};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::schema::misfits;

/// How many sequences are tried for each aggregate.
const CASES: u32 = 256;
/// How many commands a sequence has.
const COMMANDS: usize = 40;

/// What becomes of a command that is given a second time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Again {
    /// Its effect holds, so there are no events.
    ChangesNothing,
    /// It is refused, and nothing changes: whoever gave it has been overtaken by what came of it.
    IsRefused,
    /// It says that something has happened once more.
    IsNews,
}

/// An aggregate, the commands it is tried with, and what holds of it.
trait Lawful: Aggregate<Command: Clone> {
    /// A command, but for what depends on the state.
    type Wish: Clone + std::fmt::Debug;

    /// Wishes of all kinds.
    fn wish() -> BoxedStrategy<Self::Wish>;

    /// The command that a wish is, in this state.
    fn command(&self, history: &[Self::Event], wish: &Self::Wish) -> Self::Command;

    /// What becomes of this command when it is given again at once.
    fn again(command: &Self::Command) -> Again;

    /// What holds after any history.
    fn holds(&self, history: &[Self::Event]) -> Result<(), String>;
}

static SCHEMAS: LazyLock<BTreeMap<String, Value>> = LazyLock::new(schema::all);

fn wishes<A: Lawful>() -> impl Strategy<Value = Vec<A::Wish>> {
    prop::collection::vec(A::wish(), 1..=COMMANDS)
}

/// Gives the commands one after the other and checks the laws after each. Answers with what happened.
fn obeys<A: Lawful>(wishes: &[A::Wish]) -> Result<Vec<A::Event>, TestCaseError> {
    let (mut state, mut history) = (A::default(), Vec::<A::Event>::new());
    for (second, wish) in (0..).zip(wishes) {
        let context = context_at(NOW + TimeDelta::seconds(second));
        let command = state.command(&history, wish);
        let decided = state.decide(command.clone(), &context);
        prop_assert_eq!(&decided, &state.decide(command.clone(), &context), "decided in two ways");
        let Ok(events) = decided else { continue };
        for event in &events {
            reads_back(event)?;
            state = state.evolve(event);
            history.push(event.clone());
        }
        prop_assert_eq!(&replay::<A>(&history), &state, "the state is not the fold of its events");
        state.holds(&history).map_err(|law| TestCaseError::fail(format!("{law}, after {command:?}")))?;
        let again = state.decide(command.clone(), &context).map(|events| events.is_empty());
        let expected = match A::again(&command) {
            Again::ChangesNothing => again == Ok(true),
            Again::IsRefused => again.is_err(),
            Again::IsNews => true,
        };
        prop_assert!(expected, "{:?} again: {:?}", command, again);
    }
    Ok(history)
}

fn reads_back<E: Clone + Into<Event>>(event: &E) -> Result<(), TestCaseError> {
    let event: Event = event.clone().into();
    let wire = event.to_wire();
    prop_assert_eq!(misfits(&SCHEMAS[&wire.event_type], &wire.data), Vec::<String>::new());
    let read = Event::from_wire(&wire.event_type, wire.data);
    prop_assert_eq!(read.ok(), Some(event));
    Ok(())
}

/// What was tried is worth something only when it has met everything: every event of the aggregate, and every
/// refusal.
fn meets_everything<A: Lawful>(refusals: usize) {
    let mut runner = TestRunner::deterministic();
    let (mut types, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..CASES {
        let wishes = wishes::<A>().new_tree(&mut runner).expect("a sequence").current();
        let history = obeys::<A>(&wishes).expect("the laws hold");
        types.extend(history.iter().map(|event| Into::<Event>::into(event.clone()).type_name()));
        refused.extend(refusals_of::<A>(&wishes));
    }
    let prefix = format!("dev.switchback.{}.", A::KIND);
    let expected: BTreeSet<String> =
        all_types().into_iter().filter(|name| name.starts_with(&prefix)).collect();
    let never: Vec<_> = expected.difference(&types).collect();
    assert!(never.is_empty(), "{never:?} never happened");
    assert_eq!(refused.len(), refusals, "{refused:?}");
}

/// The names of the refusals that a sequence meets.
fn refusals_of<A: Lawful>(wishes: &[A::Wish]) -> BTreeSet<String> {
    let (mut state, mut history, mut refused) = (A::default(), vec![], BTreeSet::new());
    for wish in wishes {
        match state.decide(state.command(&history, wish), &context_at(NOW)) {
            Ok(events) => {
                state = events.iter().fold(state, A::evolve);
                history.extend(events);
            }
            Err(refusal) => {
                let words = format!("{refusal:?}");
                let name: String = words.chars().take_while(|c| c.is_alphanumeric()).collect();
                refused.insert(name);
            }
        }
    }
    refused
}

/// A law as a sentence: what holds, or what does not.
fn law(holds: bool, sentence: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("it does not hold that {sentence}")) }
}

macro_rules! laws {
    ($($name:ident, $meets:ident: $aggregate:ty, $refusals:literal;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(CASES))]
            $(
                #[test]
                fn $name(wishes in wishes::<$aggregate>()) {
                    obeys::<$aggregate>(&wishes)?;
                }
            )*
        }
        $(
            #[test]
            fn $meets() {
                meets_everything::<$aggregate>($refusals);
            }
        )*
    };
}

laws! {
    // All but one: the most tokens there may be have a test of their own.
    a_user_obeys, users_meet_everything: domain::user::User, 4;
    an_organization_obeys, organizations_meet_everything: domain::organization::Organization, 1;
    a_project_obeys, projects_meet_everything: domain::project::Project, 7;
    a_service_obeys, services_meet_everything: domain::service::Service, 10;
    a_deployment_obeys, deployments_meet_everything: domain::deployment::Deployment, 6;
    a_claim_obeys, claims_meet_everything: domain::claim::Claim, 1;
}
