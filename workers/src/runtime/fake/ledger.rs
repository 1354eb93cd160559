//! What a fake runtime was asked for, what it did, and what it was made to do wrong.

use std::sync::Arc;

use domain::deployment::step::{Fence, Step};
use domain::id::DeploymentId;
use domain::service::release::InstanceId;

/// What a runtime is asked to do to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// To start an instance.
    Start(InstanceId),
    /// To stop one.
    Stop(InstanceId),
    /// To run the command of a step.
    Run(DeploymentId, Step),
    /// To remove what a deployment left.
    Clean(DeploymentId),
}

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing is done.
    Fail {
        /// Whether it would fail again.
        permanent: bool,
    },
    /// It is said to have failed, because no answer came in time.
    NoAnswer {
        /// Whether it was done.
        done: bool,
    },
    /// No answer ever comes, and no error. A command that hangs can be cancelled.
    Hang {
        /// Whether it was done.
        done: bool,
    },
}

/// One line of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What was asked for.
    pub operation: Operation,
    /// The fence of whoever asked, where one is given.
    pub fence: Option<Fence>,
    /// Whether the world is another after it.
    pub is_visible: bool,
}

/// Chooses the fault of an operation, when it is asked for the n-th time, from 1.
pub type Faults = Arc<dyn Fn(&Operation, usize) -> Option<Fault> + Send + Sync>;
