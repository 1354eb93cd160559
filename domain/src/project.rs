//! A project: environments with services in them.
//!
//! `Absent → Active → Deleted`. A deleted project never comes back, and nothing is made in it any more.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::aggregate::Aggregate;
use crate::context::Context;
use crate::id::EnvironmentId;
use crate::name::{EnvironmentName, ProjectName};
use crate::rejection::{self, Kind};
use crate::stream::AggregateKind;

/// How many environments a project may have.
pub const MAX_ENVIRONMENTS: usize = 50;

/// An environment, as commands and events name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Which one.
    pub id: EnvironmentId,
    /// Its name, unique in the project.
    pub name: EnvironmentName,
}

/// Orders.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make the project with its first environments.
    Create {
        /// Its name; the slug was claimed before.
        name: ProjectName,
        /// Its first environments.
        environments: Vec<Environment>,
    },
    /// Give it another name; the new slug was claimed before.
    Rename {
        /// The new name.
        name: ProjectName,
    },
    /// Add an environment.
    AddEnvironment {
        /// The environment.
        environment: Environment,
    },
    /// Remove an environment that has no services any more.
    RemoveEnvironment {
        /// Which one.
        environment: EnvironmentId,
    },
    /// Delete the project, which has no services any more.
    Delete,
}

/// Facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The project exists.
    Created {
        /// Its name.
        name: ProjectName,
        /// Its first environments.
        environments: Vec<Environment>,
    },
    /// It has another name.
    Renamed {
        /// The new name.
        name: ProjectName,
    },
    /// It has one environment more.
    EnvironmentAdded {
        /// The environment.
        environment: Environment,
    },
    /// It has one environment less.
    EnvironmentRemoved {
        /// Which one.
        environment: EnvironmentId,
    },
    /// It is gone.
    Deleted {},
}

/// The state of a project.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Project {
    /// Not made yet.
    #[default]
    Absent,
    /// In use.
    Active {
        /// Its name.
        name: ProjectName,
        /// Its environments.
        environments: BTreeMap<EnvironmentId, EnvironmentName>,
    },
    /// Gone.
    Deleted,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Rejection {
    /// Not there, or not any more.
    #[error("there is no such project; `switchback projects list` shows those there are")]
    NotFound,
    /// There already.
    #[error("the project exists already")]
    AlreadyExists,
    /// Two environments of one name.
    #[error("the project has an environment `{0}` already")]
    EnvironmentTaken(EnvironmentName),
    /// No such environment.
    #[error("the project has no such environment; `switchback environments list` shows those there are")]
    EnvironmentNotFound,
    /// Too many.
    #[error("a project has {MAX_ENVIRONMENTS} environments at most; remove one first")]
    TooManyEnvironments,
    /// None at all.
    #[error("a project is made with at least one environment")]
    NoEnvironment,
    /// The last one.
    #[error("the last environment of a project cannot be removed; delete the project instead")]
    LastEnvironment,
}

impl rejection::Rejection for Rejection {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "project_not_found",
            Self::AlreadyExists => "project_exists",
            Self::EnvironmentTaken(_) => "environment_name_taken",
            Self::EnvironmentNotFound => "environment_not_found",
            Self::TooManyEnvironments => "too_many_environments",
            Self::NoEnvironment => "no_environment",
            Self::LastEnvironment => "last_environment",
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NotFound | Self::EnvironmentNotFound => Kind::NotFound,
            Self::AlreadyExists | Self::EnvironmentTaken(_) | Self::LastEnvironment => Kind::Conflict,
            Self::TooManyEnvironments | Self::NoEnvironment => Kind::Invalid,
        }
    }
}

impl Aggregate for Project {
    const KIND: AggregateKind = AggregateKind::Project;
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _ctx: &Context) -> Result<Vec<Event>, Rejection> {
        match (self, command) {
            (Self::Absent, Command::Create { name, environments }) => create(name, environments),
            (Self::Deleted, Command::Delete) => Ok(vec![]),
            (Self::Absent | Self::Deleted, _) => Err(Rejection::NotFound),
            (Self::Active { name, environments }, Command::Create { name: same, environments: asked }) => {
                let there = |asked: &Environment| environments.get(&asked.id) == Some(&asked.name);
                let is_so = *name == same && asked.iter().all(there);
                if is_so { Ok(vec![]) } else { Err(Rejection::AlreadyExists) }
            }
            (Self::Active { name, .. }, Command::Rename { name: new }) => {
                Ok(if *name == new { vec![] } else { vec![Event::Renamed { name: new }] })
            }
            (Self::Active { environments, .. }, Command::AddEnvironment { environment }) => {
                add(environments, environment)
            }
            (Self::Active { environments, .. }, Command::RemoveEnvironment { environment }) => {
                if !environments.contains_key(&environment) {
                    return Err(Rejection::EnvironmentNotFound);
                }
                if environments.len() == 1 {
                    return Err(Rejection::LastEnvironment);
                }
                Ok(vec![Event::EnvironmentRemoved { environment }])
            }
            (Self::Active { .. }, Command::Delete) => Ok(vec![Event::Deleted {}]),
        }
    }

    fn evolve(self, event: &Event) -> Self {
        let (mut name, mut environments) = match (self, event) {
            (_, Event::Created { name, environments }) => {
                let environments = environments.iter().map(|e| (e.id, e.name.clone())).collect();
                return Self::Active { name: name.clone(), environments };
            }
            (_, Event::Deleted {}) => return Self::Deleted,
            (Self::Active { name, environments }, _) => (name, environments),
            (other @ (Self::Absent | Self::Deleted), _) => return other,
        };
        match event {
            Event::Created { .. } | Event::Deleted {} => {}
            Event::Renamed { name: new } => name.clone_from(new),
            Event::EnvironmentAdded { environment } => {
                environments.insert(environment.id, environment.name.clone());
            }
            Event::EnvironmentRemoved { environment } => {
                environments.remove(environment);
            }
        }
        Self::Active { name, environments }
    }
}

fn create(name: ProjectName, environments: Vec<Environment>) -> Result<Vec<Event>, Rejection> {
    if environments.is_empty() {
        return Err(Rejection::NoEnvironment);
    }
    if environments.len() > MAX_ENVIRONMENTS {
        return Err(Rejection::TooManyEnvironments);
    }
    for (n, environment) in environments.iter().enumerate() {
        let before = &environments[..n];
        if let Some(same) = before.iter().find(|e| e.name == environment.name || e.id == environment.id) {
            return Err(Rejection::EnvironmentTaken(same.name.clone()));
        }
    }
    Ok(vec![Event::Created { name, environments }])
}

fn add(
    environments: &BTreeMap<EnvironmentId, EnvironmentName>,
    environment: Environment,
) -> Result<Vec<Event>, Rejection> {
    match environments.get(&environment.id) {
        Some(name) if *name == environment.name => return Ok(vec![]),
        Some(name) => return Err(Rejection::EnvironmentTaken(name.clone())),
        None => {}
    }
    if environments.values().any(|name| *name == environment.name) {
        return Err(Rejection::EnvironmentTaken(environment.name));
    }
    if environments.len() >= MAX_ENVIRONMENTS {
        return Err(Rejection::TooManyEnvironments);
    }
    Ok(vec![Event::EnvironmentAdded { environment }])
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::testing::given;

    fn environment(id: u128, name: &str) -> Environment {
        Environment { id: EnvironmentId(Uuid::from_u128(id)), name: name.parse().expect("valid") }
    }

    fn shop() -> ProjectName {
        "shop".parse().expect("valid")
    }

    fn created() -> Event {
        Event::Created {
            name: shop(),
            environments: vec![environment(1, "production"), environment(2, "staging")],
        }
    }

    #[test]
    fn a_project_begins_with_its_environments() {
        let environments = vec![environment(1, "production"), environment(2, "staging")];
        given::<Project>([]).when(Command::Create { name: shop(), environments }).then([created()]);
    }

    #[test]
    fn two_environments_of_one_name_are_refused() {
        let twice = vec![environment(1, "production"), environment(2, "production")];
        let taken = Rejection::EnvironmentTaken("production".parse().expect("valid"));
        given::<Project>([])
            .when(Command::Create { name: shop(), environments: twice })
            .then_rejected(&taken);
        given::<Project>([created()])
            .when(Command::AddEnvironment { environment: environment(3, "production") })
            .then_rejected(&taken);
    }

    #[test]
    fn one_environment_has_one_name() {
        let twice = vec![environment(1, "production"), environment(1, "staging")];
        given::<Project>([])
            .when(Command::Create { name: shop(), environments: twice })
            .then_rejected(&Rejection::EnvironmentTaken("production".parse().expect("valid")));
        given::<Project>([created()])
            .when(Command::AddEnvironment { environment: environment(2, "other") })
            .then_rejected(&Rejection::EnvironmentTaken("staging".parse().expect("valid")));
    }

    #[test]
    fn a_project_has_an_environment_from_the_beginning() {
        given::<Project>([])
            .when(Command::Create { name: shop(), environments: vec![] })
            .then_rejected(&Rejection::NoEnvironment);
    }

    #[test]
    fn a_project_is_made_once() {
        let environments = vec![environment(1, "production"), environment(2, "staging")];
        given::<Project>([created()])
            .when(Command::Create { name: shop(), environments: environments.clone() })
            .then([]);
        let other: ProjectName = "other".parse().expect("valid");
        given::<Project>([created()])
            .when(Command::Create { name: other, environments: environments.clone() })
            .then_rejected(&Rejection::AlreadyExists);
        given::<Project>([created(), Event::Deleted {}])
            .when(Command::Create { name: shop(), environments })
            .then_rejected(&Rejection::NotFound);
    }

    #[test]
    fn an_environment_is_added() {
        let environment = environment(3, "preview");
        given::<Project>([created()])
            .when(Command::AddEnvironment { environment: environment.clone() })
            .then([Event::EnvironmentAdded { environment }]);
    }

    #[test]
    fn every_refusal_has_a_code_of_its_own() {
        use crate::rejection::Rejection as _;
        for (refusal, code, kind) in [
            (Rejection::NotFound, "project_not_found", Kind::NotFound),
            (Rejection::AlreadyExists, "project_exists", Kind::Conflict),
            (
                Rejection::EnvironmentTaken("a".parse().expect("valid")),
                "environment_name_taken",
                Kind::Conflict,
            ),
            (Rejection::EnvironmentNotFound, "environment_not_found", Kind::NotFound),
            (Rejection::TooManyEnvironments, "too_many_environments", Kind::Invalid),
            (Rejection::NoEnvironment, "no_environment", Kind::Invalid),
            (Rejection::LastEnvironment, "last_environment", Kind::Conflict),
        ] {
            assert_eq!((refusal.code(), refusal.kind()), (code, kind), "{refusal}");
        }
    }

    #[test]
    fn adding_the_same_environment_again_changes_nothing() {
        given::<Project>([created()])
            .when(Command::AddEnvironment { environment: environment(2, "staging") })
            .then([]);
    }

    #[test]
    fn the_last_environment_stays() {
        let removed = Event::EnvironmentRemoved { environment: EnvironmentId(Uuid::from_u128(2)) };
        let remove = |id| Command::RemoveEnvironment { environment: EnvironmentId(Uuid::from_u128(id)) };
        given::<Project>([created()]).when(remove(2)).then([removed.clone()]);
        given::<Project>([created(), removed.clone()])
            .when(remove(1))
            .then_rejected(&Rejection::LastEnvironment);
        given::<Project>([created(), removed]).when(remove(2)).then_rejected(&Rejection::EnvironmentNotFound);
    }

    #[test]
    fn the_fifty_first_environment_is_refused() {
        let environments: Vec<_> = (0..50).map(|n| environment(n, &format!("e{n}"))).collect();
        given::<Project>([Event::Created { name: shop(), environments }])
            .when(Command::AddEnvironment { environment: environment(99, "one-more") })
            .then_rejected(&Rejection::TooManyEnvironments);
    }

    #[test]
    fn renaming_to_the_same_name_changes_nothing() {
        given::<Project>([created()]).when(Command::Rename { name: shop() }).then([]);
        let other: ProjectName = "other".parse().expect("valid");
        given::<Project>([created()])
            .when(Command::Rename { name: other.clone() })
            .then([Event::Renamed { name: other }]);
    }

    #[test]
    fn a_deleted_project_is_not_there_and_deleting_it_again_changes_nothing() {
        let deleted = [created(), Event::Deleted {}];
        given::<Project>(deleted.clone()).when(Command::Delete).then([]);
        given::<Project>(deleted).when(Command::Rename { name: shop() }).then_rejected(&Rejection::NotFound);
        given::<Project>([]).when(Command::Delete).then_rejected(&Rejection::NotFound);
    }
}
