//! The bus over a log in memory: one effect for each command, whatever goes wrong on the way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

extern crate switchback_commands as commands;

mod claims;
mod idempotency;
mod races;
mod rollback;
mod secrets;
mod set_up;

use std::sync::Arc;

use commands::bus::Bus;
use commands::clock::{Clock, SystemClock};
use commands::keyring::Keyring;
use commands::request::Request;
use commands::user::Installation;
use domain::context::Actor;
use domain::id::{EnvironmentId, OrganizationId, ProjectId, ServiceId, UserId};
use domain::project::Project;
use domain::source::Source;
use domain::stream::StreamId;
use eventlog::log::SharedLog;
use eventlog::memory::MemoryLog;
use tempfile::TempDir;
use uuid::Uuid;

const OWNER: UserId = UserId(Uuid::from_u128(0xa));
const HOME: OrganizationId = OrganizationId(Uuid::from_u128(0xb));

/// An installation with its owner.
struct House {
    bus: Bus,
    log: SharedLog,
    keys: TempDir,
}

impl House {
    async fn new() -> Self {
        Self::over(Arc::new(MemoryLog::new()), Arc::new(SystemClock)).await
    }

    async fn over(log: SharedLog, clock: Arc<dyn Clock>) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let bus = Bus::new(Arc::clone(&log), clock, Keyring::open(keys.path()).unwrap());
        bus.set_up(Installation { owner: OWNER, organization: HOME }).await.unwrap();
        Self { bus, log, keys }
    }

    /// Another gateway on the same log, which remembers nothing.
    fn restarted(&self) -> Bus {
        Bus::new(Arc::clone(&self.log), Arc::new(SystemClock), Keyring::open(self.keys.path()).unwrap())
    }

    async fn project(&self, name: &str) -> (ProjectId, EnvironmentId) {
        let (project, _) = self.bus.create_project(&by_owner(), HOME, name.parse().unwrap()).await.unwrap();
        let state = self.bus.state::<Project>(StreamId::project(HOME, project)).await.unwrap();
        let Project::Active { environments, .. } = state else { panic!("the project is not there") };
        (project, *environments.keys().next().unwrap())
    }

    async fn service(&self, place: (ProjectId, EnvironmentId), name: &str) -> ServiceId {
        let name = name.parse().unwrap();
        self.bus.create_service(&by_owner(), HOME, place, name, "localhost").await.unwrap().0
    }
}

fn by_owner() -> Request {
    Request::new(Actor::user(OWNER))
}

fn repository() -> Source {
    Source::Repository { url: "file:///srv/app".parse().unwrap(), reference: None }
}
