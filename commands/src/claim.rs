//! Taking and giving back what only one can have.

use domain::claim::{Claim, Command, GRACE, Key, Owner};
use domain::project::Project;
use domain::service::Service;
use domain::stream::AggregateKind;

use crate::bus::Bus;
use crate::error::CommandError;
use crate::request::Request;

impl Bus {
    /// Takes a key for an owner that is made next. A key whose owner never came, or is gone, is free again.
    ///
    /// # Errors
    /// [`CommandError::Rejected`] with code `name_taken` when somebody else has it.
    pub(crate) async fn claim(&self, request: &Request, key: Key, owner: Owner) -> Result<(), CommandError> {
        let stream = key.stream();
        let take = Command::Take { key: key.clone(), owner };
        let refused = match self.dispatch::<Claim>(request, stream, take).await {
            Ok(_) => return Ok(()),
            Err(refused @ CommandError::Rejected { .. }) => refused,
            Err(error) => return Err(error),
        };
        let Claim::Held { owner: holder, since } = self.state::<Claim>(stream).await? else {
            return Err(refused);
        };
        let is_abandoned = match self.presence(holder).await? {
            Presence::There => false,
            Presence::Gone => true,
            Presence::NeverCame => self.clock().now() - since > GRACE,
        };
        if !is_abandoned {
            return Err(refused);
        }
        let take_over = Command::TakeOver { key, from: holder, owner };
        self.dispatch::<Claim>(request, stream, take_over).await.map(|_| ())
    }

    /// Gives a key back.
    pub(crate) async fn release(
        &self,
        request: &Request,
        key: &Key,
        owner: Owner,
    ) -> Result<(), CommandError> {
        self.dispatch::<Claim>(request, key.stream(), Command::Release { owner }).await.map(|_| ())
    }

    async fn presence(&self, owner: Owner) -> Result<Presence, CommandError> {
        Ok(match owner.kind {
            AggregateKind::Project => match self.state::<Project>(owner.stream()).await? {
                Project::Absent => Presence::NeverCame,
                Project::Active { .. } => Presence::There,
                Project::Deleted => Presence::Gone,
            },
            AggregateKind::Service => match self.state::<Service>(owner.stream()).await? {
                Service::Absent => Presence::NeverCame,
                Service::Active(_) => Presence::There,
                Service::Deleted { .. } => Presence::Gone,
            },
            AggregateKind::User
            | AggregateKind::Organization
            | AggregateKind::Deployment
            | AggregateKind::Claim => Presence::There, // None of them claims anything.
        })
    }
}

enum Presence {
    There,
    Gone,
    NeverCame,
}
