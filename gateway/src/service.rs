//! Services: made, shown, deleted, scaled; and how what runs of them is.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::State;
use commands::policy::Action;
use domain::name::ServiceName;
use domain::rejection::Rejection as _;
use futures::future::join_all;
use projections::deployment::{self, Deployment};
use projections::page::Page;
use projections::route::Route;
use projections::service::{self, Service};
use projections::{deployment as deployments, route};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::actor::Caller;
use crate::answer::{Answer, Gone};
use crate::app::App;
use crate::error::{ApiError, rejected};
use crate::given::{Given, Nothing};
use crate::params::{At, PageParams, Params, page};
use crate::resolve::{InEnvironment, OnService};

/// How long an instance has to take a connection when its health is looked at.
const PROBE_LIMIT: Duration = Duration::from_millis(500);

/// A service to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewService {
    name: String,
}

/// How many instances.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scale {
    replicas: i64,
}

impl App {
    pub(crate) fn service_view(&self, service: &Service, newest: Option<&Deployment>) -> Value {
        let live = service.live.as_ref();
        json!({
            "id": service.id,
            "name": service.name,
            "project": service.project_name,
            "environment": service.environment_name,
            "hostname": service.hostname,
            "url": self.settings.url(service.hostname.as_str()),
            "status": newest.map_or("NONE", |newest| newest.status.as_str()),
            "release": live.map(|live| live.release.to_string()),
            "deployment": newest.map(|newest| newest.id),
            "replicas": service.replicas.or(live.map(|live| live.replicas)),
            "staged": service.staged,
            "created_at": service.created_at,
        })
    }

    async fn newest(&self, service: &Service, caller: &Caller) -> Result<Option<Deployment>, ApiError> {
        let filter = deployment::Filter { service: Some(service.id), ..deployment::Filter::default() };
        let first = Page::new(Some(1), None).unwrap_or_default();
        let listed = deployments::list(&self.reads, caller.organization(), &filter, &first).await?;
        Ok(listed.items.into_iter().next())
    }
}

/// Lists the services of an environment.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    At(path): At<InEnvironment>,
    Params(params): Params<PageParams>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let (_, environment) = app.environment(caller.organization(), &path).await?;
    let wanted = page(params.limit, params.cursor.as_deref())?;
    let filter = service::Filter { environment: Some(environment.id), ..service::Filter::default() };
    let listed = service::list(&app.reads, caller.organization(), &filter, &wanted).await?;
    let mut views = vec![];
    for service in &listed.items {
        views.push(app.service_view(service, app.newest(service, &caller).await?.as_ref()));
    }
    Ok(Answer::ok(&views).page(listed.next, listed.limit))
}

/// Makes a service.
pub(crate) async fn create(
    State(app): State<App>,
    At(path): At<InEnvironment>,
    given: Given<NewService>,
) -> Result<Answer, ApiError> {
    let name: ServiceName = given.body.name.parse().map_err(|invalid| rejected(&invalid))?;
    let organization = given.caller.organization();
    let (project, environment) = app.environment(organization, &path).await?;
    let place = (project.project.id, environment.id);
    let suffix = &app.settings.hostname_suffix;
    let (id, outcome) = app.bus.create_service(&given.request, organization, place, name, suffix).await?;
    app.reached(outcome.position).await?;
    let made = service::get(&app.reads, organization, id).await?;
    let made =
        made.ok_or_else(|| ApiError::not_found("service_not_found", "the service was deleted at once"))?;
    Ok(Answer::created(&app.service_view(&made, None), outcome.position))
}

/// Shows a service.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    At(path): At<OnService>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let service = app.service(caller.organization(), &path).await?;
    let newest = app.newest(&service, &caller).await?;
    Ok(Answer::ok(&app.service_view(&service, newest.as_ref())))
}

/// Deletes a service.
pub(crate) async fn delete(
    State(app): State<App>,
    At(path): At<OnService>,
    given: Given<Nothing>,
) -> Result<Gone, ApiError> {
    let organization = given.caller.organization();
    let service = app.service_id(organization, &path).await?;
    let outcome = app.bus.delete_service(&given.request, organization, service).await?;
    Ok(Gone(outcome.position))
}

/// Chooses how many instances run.
pub(crate) async fn scale(
    State(app): State<App>,
    At(path): At<OnService>,
    given: Given<Scale>,
) -> Result<Answer, ApiError> {
    let most = domain::manifest::MAX_REPLICAS;
    let fits = u16::try_from(given.body.replicas).ok().filter(|replicas| (1..=most).contains(replicas));
    let replicas = fits.ok_or_else(|| {
        let invalid =
            domain::service::Rejection::Replicas(given.body.replicas.clamp(0, i64::from(u16::MAX)) as u16);
        debug_assert_eq!(invalid.code(), "replicas_invalid");
        rejected(&invalid)
    })?;
    let organization = given.caller.organization();
    let service = app.service_id(organization, &path).await?;
    let (deployment, outcome) = app.bus.scale(&given.request, organization, service, replicas).await?;
    app.carried_out(&given.caller, deployment, &outcome).await
}

/// Says how everything in an environment is.
pub(crate) async fn status(
    State(app): State<App>,
    caller: Caller,
    At(path): At<InEnvironment>,
) -> Result<Answer, ApiError> {
    caller.may(Action::Read)?;
    let organization = caller.organization();
    let (_, environment) = app.environment(organization, &path).await?;
    let filter = service::Filter { environment: Some(environment.id), ..service::Filter::default() };
    let routes = route::of_organization(&app.reads, organization).await?;
    let mut views = vec![];
    let mut cursor = None;
    loop {
        let wanted = page(None, cursor.as_deref())?;
        let listed = service::list(&app.reads, organization, &filter, &wanted).await?;
        for service in &listed.items {
            let newest = app.newest(service, &caller).await?;
            views.push(status_view(&app, service, newest.as_ref(), &routes).await);
        }
        cursor = listed.next;
        if cursor.is_none() {
            return Ok(Answer::ok(&json!({ "services": views })));
        }
    }
}

async fn status_view(app: &App, service: &Service, newest: Option<&Deployment>, routes: &[Route]) -> Value {
    let addresses: Vec<SocketAddr> = routes
        .iter()
        .find(|route| route.service == service.id)
        .map(|route| route.instances.iter().map(|instance| instance.address).collect())
        .unwrap_or_default();
    let ready = join_all(addresses.iter().map(|address| takes_connections(*address))).await;
    let ready = ready.into_iter().filter(|ready| *ready).count();
    let wanted = service.live.as_ref().map_or(0, |live| usize::from(live.replicas));
    let health = match (service.live.is_some(), ready) {
        (false, _) => "UNKNOWN",
        (true, 0) => "DOWN",
        (true, ready) if ready < wanted => "DEGRADED",
        (true, _) => "HEALTHY",
    };
    let mut view = app.service_view(service, newest);
    if let Value::Object(view) = &mut view {
        view.insert("health".into(), json!(health));
        view.insert("replicas".into(), json!({ "wanted": wanted, "ready": ready }));
        view.insert("exits".into(), json!(service.live.as_ref().and_then(|live| live.exits.as_ref())));
    }
    view
}

async fn takes_connections(address: SocketAddr) -> bool {
    tokio::time::timeout(PROBE_LIMIT, TcpStream::connect(address))
        .await
        .is_ok_and(|connected| connected.is_ok())
}
