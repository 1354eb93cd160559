//! Never do two deployments have the turn, never is a number used twice, never is a release live that was not
//! cut; and everything that was asked for has one end.

use std::collections::{BTreeMap, BTreeSet};

use domain::id::DeploymentId;
use domain::rollback::{Target, find};
use domain::service::release::{ReleaseNumber, ReleaseStatus};
use domain::service::{Command, Event, MAX_VARIABLES, Outcome, PAST_MAX, Service, Subject};
use domain::testing::history::{back_to, recorded};
use domain::testing::values;
use proptest::prelude::*;

use super::{Again, Lawful, law};

/// Which deployment is meant: one that matters now, or any.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Turn,
    Waiting,
    Live,
    Any(u32),
}

#[derive(Clone, Debug)]
pub(super) enum Wish {
    Create(&'static str),
    /// Whatever brings a deployment nearer to its good end.
    GoOn,
    Set(u8, u8, Option<u32>),
    SetMany(u8),
    Unset(u8, Option<u32>),
    Scale(u16, Option<u32>),
    Deploy(u32, u8),
    /// To a release of this number, or to one that can come back.
    RollBack(u32, Option<u32>),
    Withdraw(Which),
    Cut(Which, bool),
    Activate(Which),
    Move(Option<u32>, u16),
    Exit(Option<u32>),
    Reveal(bool),
    End(Which, Outcome),
    Delete,
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        6 => Just(Which::Turn),
        2 => Just(Which::Waiting),
        1 => Just(Which::Live),
        2 => (0..12_u32).prop_map(Which::Any),
    ]
}

fn meant(service: &Service, which: Which) -> DeploymentId {
    let active = service.active();
    let found = match which {
        Which::Turn => active.and_then(|active| active.turn.as_ref()).map(|request| request.deployment),
        Which::Waiting => active.and_then(|active| active.waiting.as_ref()).map(|request| request.deployment),
        Which::Live => active.and_then(|active| active.live.as_ref()).map(|live| live.deployment),
        Which::Any(n) => Some(values::deployment(n)),
    };
    found.unwrap_or(values::deployment(0))
}

fn subject(kind: u8) -> Subject {
    match kind {
        0 => Subject::Configuration {},
        1..=3 => back_to(u32::from(kind)),
        _ => values::from_source(),
    }
}

fn live(service: &Service) -> ReleaseNumber {
    service.active().and_then(|active| active.live.as_ref()).map_or(ReleaseNumber(0), |live| live.number)
}

/// What the deployment with the turn does next, or a new one when there is none.
fn next(service: &Service, history: &[Event]) -> Command {
    let active = service.active();
    let Some(turn) = active.and_then(|active| active.turn.as_ref()) else {
        let fresh = u32::try_from(history.len()).unwrap_or(u32::MAX).saturating_add(100);
        return Command::Deploy { deployment: values::deployment(fresh), subject: values::from_source() };
    };
    let deployment = turn.deployment;
    let has_traffic =
        active.and_then(|active| active.live.as_ref()).is_some_and(|l| l.deployment == deployment);
    match &turn.cut {
        None => Command::CutRelease { deployment, build: Some(Box::new(values::build(1))) },
        Some(_) if !has_traffic => Command::Activate { deployment, instances: values::instances(1, 1) },
        Some(_) => Command::EndDeployment { deployment, outcome: Outcome::Succeeded },
    }
}

/// The oldest release that can come back.
fn retired(service: &Service) -> u32 {
    let releases = service.active().into_iter().flat_map(|active| &active.releases);
    let mut retired = releases.filter(|(_, summary)| summary.status == ReleaseStatus::Retired);
    retired.next().map_or(1, |(number, _)| number.0)
}

impl Lawful for Service {
    type Wish = Wish;

    fn wish() -> BoxedStrategy<Wish> {
        let id = || 0..24_u32;
        let release = || prop::option::weighted(0.4, 0..6_u32);
        let deploy = || prop::option::of(0..24_u32);
        let outcome = prop::sample::select(vec![Outcome::Succeeded, Outcome::Failed, Outcome::Cancelled]);
        let replicas = prop::sample::select(vec![0, 1, 2, 100, 101]);
        prop_oneof![
            4 => prop::sample::select(vec!["web", "web", "web", "api"]).prop_map(Wish::Create),
            4 => (0..4_u8, 0..3_u8, deploy()).prop_map(|(name, value, id)| Wish::Set(name, value, id)),
            1 => prop::sample::select(vec![98_u8, 99, 100, 101]).prop_map(Wish::SetMany),
            2 => (0..4_u8, deploy()).prop_map(|(name, id)| Wish::Unset(name, id)),
            2 => (replicas, deploy()).prop_map(|(n, id)| Wish::Scale(n, id)),
            10 => (id(), 0..12_u8).prop_map(|(id, kind)| Wish::Deploy(id, kind)),
            5 => (id(), release()).prop_map(|(id, to)| Wish::RollBack(id, to)),
            3 => which().prop_map(Wish::Withdraw),
            30 => Just(Wish::GoOn),
            5 => (which(), prop::bool::weighted(0.7)).prop_map(|(which, built)| Wish::Cut(which, built)),
            5 => which().prop_map(Wish::Activate),
            2 => (release(), 0..3_u16).prop_map(|(release, count)| Wish::Move(release, count)),
            2 => release().prop_map(Wish::Exit),
            1 => any::<bool>().prop_map(Wish::Reveal),
            5 => (which(), outcome).prop_map(|(which, outcome)| Wish::End(which, outcome)),
            1 => Just(Wish::Delete),
        ]
        .boxed()
    }

    fn command(&self, history: &[Event], wish: &Wish) -> Command {
        let id = |n: Option<u32>| n.map(values::deployment);
        let name = |n: u8| format!("V{n}");
        match *wish {
            Wish::Create(name) => Command::Create {
                project: values::PROJECT,
                environment: values::ENVIRONMENT,
                name: name.parse().expect("valid"),
                hostname: values::hostname(),
            },
            Wish::GoOn => next(self, history),
            Wish::Set(n, value, deploy) => Command::ChangeVariables {
                set: BTreeMap::from([values::sealed(&name(n), &value.to_string())]),
                unset: BTreeSet::new(),
                deploy: id(deploy),
            },
            Wish::SetMany(count) => Command::ChangeVariables {
                set: (0..count).map(|n| values::sealed(&name(n), "many")).collect(),
                unset: BTreeSet::new(),
                deploy: None,
            },
            Wish::Unset(n, deploy) => Command::ChangeVariables {
                set: BTreeMap::new(),
                unset: values::names([&name(n)]),
                deploy: id(deploy),
            },
            Wish::Scale(replicas, deploy) => Command::Scale { replicas, deploy: id(deploy) },
            Wish::Deploy(n, kind) => {
                Command::Deploy { deployment: values::deployment(n), subject: subject(kind) }
            }
            Wish::RollBack(n, to) => {
                let to = to.unwrap_or_else(|| retired(self));
                let found = find(&recorded(history.to_vec()), Target::Release(ReleaseNumber(to)));
                let then =
                    found.map_or_else(|_| values::specification(to, BTreeMap::new()), |(_, then)| then);
                let (deployment, to) = (values::deployment(n), ReleaseNumber(to));
                Command::RollBack { deployment, to, then: Box::new(then) }
            }
            Wish::Withdraw(which) => Command::Withdraw { deployment: meant(self, which) },
            Wish::Cut(which, built) => Command::CutRelease {
                deployment: meant(self, which),
                build: built.then(|| Box::new(values::build(1))),
            },
            Wish::Activate(which) => {
                Command::Activate { deployment: meant(self, which), instances: values::instances(1, 1) }
            }
            Wish::Move(release, count) => Command::MoveInstances {
                release: release.map_or(live(self), ReleaseNumber),
                instances: values::instances(1, count),
            },
            Wish::Exit(release) => Command::RecordExit {
                release: release.map_or(live(self), ReleaseNumber),
                instance: values::instances(1, 1)[0].id,
                exit: "signal 9".into(),
            },
            Wish::Reveal(some) => {
                Command::RecordReveal { names: if some { values::names(["V1"]) } else { values::names([]) } }
            }
            Wish::End(which, outcome) => Command::EndDeployment { deployment: meant(self, which), outcome },
            Wish::Delete => Command::Delete,
        }
    }

    fn again(command: &Command) -> Again {
        match command {
            Command::RecordExit { .. } | Command::RecordReveal { .. } => Again::IsNews,
            Command::Create { .. }
            | Command::ChangeVariables { .. }
            | Command::Scale { .. }
            | Command::Deploy { .. }
            | Command::RollBack { .. }
            | Command::Withdraw { .. }
            | Command::CutRelease { .. }
            | Command::Activate { .. }
            | Command::MoveInstances { .. }
            | Command::EndDeployment { .. }
            | Command::Delete => Again::ChangesNothing,
        }
    }

    fn holds(&self, history: &[Event]) -> Result<(), String> {
        let told = told(history)?;
        told.releases_rise()?;
        agrees(self, &told)
    }
}

/// What a history tells of turns and releases, read without the aggregate's help.
#[derive(Default)]
struct Told {
    open: BTreeSet<DeploymentId>,
    over: BTreeSet<DeploymentId>,
    turn: Option<DeploymentId>,
    cut: BTreeMap<DeploymentId, ReleaseNumber>,
    numbers: Vec<ReleaseNumber>,
    live: Vec<ReleaseNumber>,
    deleted: bool,
}

fn told(history: &[Event]) -> Result<Told, String> {
    let mut told = Told::default();
    for event in history {
        let ends = matches!(event, Event::DeploymentEnded { .. });
        law(!told.deleted || ends, "after its deletion a service only hears of the end of its deployment")?;
        told.event(event)?;
    }
    Ok(told)
}

impl Told {
    fn event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::DeploymentRequested { deployment, .. } => {
                let known = self.open.contains(deployment) || self.over.contains(deployment);
                law(!known, "a deployment is asked for once")?;
                self.open.insert(*deployment);
            }
            Event::DeploymentAdmitted { deployment } => {
                law(self.turn.is_none(), "one deployment has the turn at most")?;
                law(self.open.contains(deployment), "who has the turn asked for it")?;
                self.turn = Some(*deployment);
            }
            Event::DeploymentSuperseded { deployment, .. } | Event::DeploymentWithdrawn { deployment } => {
                law(self.turn != Some(*deployment), "who has the turn does not wait")?;
                self.end(*deployment)?;
            }
            Event::DeploymentEnded { deployment, .. } => {
                law(self.turn.take() == Some(*deployment), "only who has the turn gives it back")?;
                self.end(*deployment)?;
            }
            Event::ReleaseCut { release, deployment, .. } => {
                law(self.turn == Some(*deployment), "only who has the turn cuts a release")?;
                let before = self.cut.insert(*deployment, *release);
                law(before.is_none(), "a deployment cuts one release")?;
                self.numbers.push(*release);
            }
            Event::ReleaseActivated { release, deployment, .. } => {
                law(self.turn == Some(*deployment), "only who has the turn moves the traffic")?;
                law(self.cut.get(deployment) == Some(release), "traffic moves to a release that was cut")?;
                self.live.push(*release);
            }
            Event::InstancesMoved { release, .. } | Event::InstanceExited { release, .. } => {
                law(self.live.last() == Some(release), "instances are those of the live release")?;
            }
            Event::Deleted {} => self.deleted = true,
            Event::Created { .. }
            | Event::VariablesChanged { .. }
            | Event::VariablesRevealed { .. }
            | Event::Scaled { .. }
            | Event::RollbackRequested { .. } => {}
        }
        Ok(())
    }

    fn end(&mut self, deployment: DeploymentId) -> Result<(), String> {
        law(self.open.remove(&deployment), "only what was asked for comes to an end")?;
        law(self.over.insert(deployment), "a deployment has one end")
    }

    fn releases_rise(&self) -> Result<(), String> {
        let expected: Vec<_> = (1..).map(ReleaseNumber).take(self.numbers.len()).collect();
        law(self.numbers == expected, "numbers rise by one and none is used twice")?;
        law(self.live.is_sorted_by(|a, b| a < b), "a release has the traffic once")
    }
}

/// The state says what the history told.
fn agrees(service: &Service, told: &Told) -> Result<(), String> {
    let active = match service {
        Service::Absent => return law(told.open.is_empty(), "nothing happens before a service is made"),
        Service::Deleted { turn } => {
            let open: Vec<_> = turn.iter().map(|request| request.deployment).collect();
            law(told.deleted, "a service is deleted by its event only")?;
            return law(told.open.iter().eq(&open), "a deleted service only waits for who has the turn");
        }
        Service::Active(active) => active,
    };
    let turn = active.turn.as_ref().map(|request| request.deployment);
    let waiting = active.waiting.as_ref().map(|request| request.deployment);
    law(turn == told.turn, "the turn is who was given it last")?;
    law(waiting.is_none() || waiting != turn, "who waits does not have the turn")?;
    law(waiting.is_none() || turn.is_some(), "nobody waits while nobody has the turn")?;
    let open: BTreeSet<_> = turn.into_iter().chain(waiting).collect();
    law(open == told.open, "what was asked for has the turn, waits, or is over")?;
    law(active.variables.len() <= MAX_VARIABLES, "there are a hundred variables at most")?;
    law(active.past.len() <= PAST_MAX, "only so many are remembered")?;

    let live = active.live.as_ref().map(|live| live.number);
    law(live == told.live.last().copied(), "the live release is the one the traffic moved to last")?;
    let status = |status| active.releases.iter().filter(move |(_, s)| s.status == status).map(|(n, _)| *n);
    law(status(ReleaseStatus::Live).eq(live), "the live release is the only one that is called so")?;
    let retired: Vec<_> = told.live.iter().copied().filter(|number| Some(*number) != live).collect();
    law(status(ReleaseStatus::Retired).eq(retired), "those that had the traffic are retired")?;
    let cut = active.turn.as_ref().and_then(|request| request.cut.as_ref()).map(|(number, _)| *number);
    let cut = cut.filter(|number| Some(*number) != live);
    law(status(ReleaseStatus::Cut).eq(cut), "a release is only called cut while its deployment has the turn")
}
