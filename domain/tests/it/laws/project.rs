//! A project never has two environments of one name, and never none.

use std::collections::BTreeSet;

use domain::id::EnvironmentId;
use domain::project::{Command, Environment, Event, MAX_ENVIRONMENTS, Project};
use proptest::prelude::*;
use uuid::Uuid;

use super::{Again, Lawful, law};

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Create { name: &'static str, environments: Vec<(u128, u128)> },
    CreateWith(u128),
    Rename(&'static str),
    Add(u128, u128),
    Remove(u128),
    Delete,
}

fn environment((id, name): (u128, u128)) -> Environment {
    Environment { id: EnvironmentId(Uuid::from_u128(id)), name: format!("e{name}").parse().expect("valid") }
}

impl Lawful for Project {
    type Wish = Wish;

    fn wish() -> BoxedStrategy<Wish> {
        let name = || prop::sample::select(vec!["shop", "other"]);
        let one = || (0..4_u128, 0..4_u128);
        let several = prop::collection::vec(one(), 0..4);
        prop_oneof![
            4 => (name(), several).prop_map(|(name, environments)| Wish::Create { name, environments }),
            2 => prop::sample::select(vec![49_u128, 50, 51]).prop_map(Wish::CreateWith),
            3 => name().prop_map(Wish::Rename),
            8 => one().prop_map(|(id, name)| Wish::Add(id, name)),
            3 => (100..200_u128).prop_map(|n| Wish::Add(n, n)),
            8 => (0..4_u128).prop_map(Wish::Remove),
            1 => Just(Wish::Delete),
        ]
        .boxed()
    }

    fn command(&self, _history: &[Event], wish: &Wish) -> Command {
        match wish {
            Wish::Create { name, environments } => {
                let environments = environments.iter().copied().map(environment).collect();
                Command::Create { name: name.parse().expect("valid"), environments }
            }
            Wish::CreateWith(count) => {
                let environments = (0..*count).map(|n| environment((n, n))).collect();
                Command::Create { name: "shop".parse().expect("valid"), environments }
            }
            Wish::Rename(name) => Command::Rename { name: name.parse().expect("valid") },
            Wish::Add(id, name) => Command::AddEnvironment { environment: environment((*id, *name)) },
            Wish::Remove(id) => Command::RemoveEnvironment { environment: environment((*id, 0)).id },
            Wish::Delete => Command::Delete,
        }
    }

    fn again(command: &Command) -> Again {
        match command {
            Command::RemoveEnvironment { .. } => Again::IsRefused,
            Command::Create { .. }
            | Command::Rename { .. }
            | Command::AddEnvironment { .. }
            | Command::Delete => Again::ChangesNothing,
        }
    }

    fn holds(&self, history: &[Event]) -> Result<(), String> {
        let ends = history.iter().position(|event| *event == Event::Deleted {});
        law(ends.is_none_or(|at| at + 1 == history.len()), "a deleted project never comes back")?;
        match self {
            Project::Absent => law(history.is_empty(), "a project is there"),
            Project::Deleted => law(ends.is_some(), "a project is deleted by its event only"),
            Project::Active { environments, .. } => {
                let names: BTreeSet<_> = environments.values().collect();
                law(names.len() == environments.len(), "each environment has a name of its own")?;
                let count = 1..=MAX_ENVIRONMENTS;
                law(count.contains(&environments.len()), "there are one to fifty environments")
            }
        }
    }
}
