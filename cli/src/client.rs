//! The client's commands: each asks the API and says what came of it.

mod deploy;
mod deployment;
mod dotenv;
pub(crate) mod failure;
mod follow;
mod history;
pub(crate) mod http;
mod login;
mod logs;
pub(crate) mod model;
mod release;
mod resource;
mod rollback;
mod session;
mod source;
mod sse;
mod stream;
mod target;
mod variables;

use crate::args::{Ask, Global, Sign};
use crate::client::failure::Failure;
use crate::client::session::Session;
use crate::ui::Ui;

/// Signs in or out.
///
/// # Errors
/// [`Failure`] with what there is to say and the exit code.
pub(crate) async fn sign(sign: Sign, global: &Global) -> Result<(), Failure> {
    let ui = Ui::new(global);
    match sign {
        Sign::In(login) => login::login(&ui, global, &login).await,
        Sign::Out => login::logout(&ui, global),
    }
}

/// Asks a server.
///
/// # Errors
/// [`Failure`] with what there is to say and the exit code.
pub(crate) async fn ask(command: Ask, global: Global) -> Result<(), Failure> {
    let mut session = Session::new(Ui::new(&global), global)?;
    let done = run(&mut session, command).await;
    done.map_err(|failure| session.target.explain(failure))
}

async fn run(session: &mut Session, command: Ask) -> Result<(), Failure> {
    match command {
        Ask::Whoami => login::whoami(session).await,
        Ask::Tokens(tokens) => resource::tokens(session, tokens).await,
        Ask::Projects(projects) => resource::projects(session, projects).await,
        Ask::Environments(environments) => resource::environments(session, environments).await,
        Ask::Services(services) => resource::services(session, services).await,
        Ask::Deploy(deploy) => deploy::run(session, deploy).await,
        Ask::Deployments(wanted) => deployment::list(session, &wanted).await,
        Ask::Status => deployment::status(session).await,
        Ask::Cancel(cancel) => deployment::cancel(session, &cancel).await,
        Ask::Redeploy(redeploy) => deployment::redeploy(session, &redeploy).await,
        Ask::Scale(scale) => deployment::scale(session, &scale).await,
        Ask::Open => deployment::open(session).await,
        Ask::Logs(logs) => logs::run(session, &logs).await,
        Ask::Variables(variables) => variables::run(session, variables).await,
        Ask::Releases => release::list(session).await,
        Ask::Release(wanted) => release::show(session, &wanted).await,
        Ask::Rollback(rollback) => rollback::run(session, rollback).await,
        Ask::History(wanted) => history::history(session, &wanted).await,
        Ask::Events(wanted) => history::events(session, &wanted).await,
    }
}
