//! No query ever finds a row of another organisation.

use domain::id::OrganizationId;
use domain::organization as organizations;
use domain::service::release::ReleaseNumber;
use domain::user as users;
use switchback_projections::page::Page;
use switchback_projections::store::ReadStore;
use switchback_projections::{
    audit, deployment, organization, project, release, service, timeline, user, variable,
};

use crate::database::{on_both, told};
use crate::story::{ACME, OTHER, OWNER, STRANGER, Shop, Story, variable as variable_name};

/// Two organisations that have and do the same, under the same names.
pub(crate) async fn two() -> (Shop, Shop) {
    let mut acme = Shop::busy().await;
    let story = std::mem::replace(&mut acme.story, Story::empty());
    let mut other = Shop { story, ..acme };
    other.story.turn_to(OTHER, STRANGER);
    other.story.user(STRANGER, users::Command::Register { name: "eve".into() }).await;
    let create = organizations::Command::Create { name: "Other".into(), owner: STRANGER };
    other.story.organization_command(create).await;
    let (project, production, staging) = other.story.project("shop").await;
    (other.project, other.production, other.staging) = (project, production, staging);
    other.web = other.story.service(project, production, "web").await;
    other.story.deploy(other.web, 9).await;
    other.story.set(other.web, "SECRET", "other").await;
    (acme, other)
}

/// What every query finds when `organization` asks for the things of `shop`, as text.
async fn everything(store: &ReadStore, organization: OrganizationId, shop: &Shop) -> Vec<String> {
    let page = Page::default();
    let (all, deployments) = (service::Filter::default(), deployment::Filter::default());
    let of_project = service::Filter { project: Some(shop.project), ..all };
    let of_environment = service::Filter { environment: Some(shop.production), ..service::Filter::default() };
    let of_service = deployment::Filter { service: Some(shop.web), ..deployments };
    let in_project = deployment::Filter { project: Some(shop.project), ..deployment::Filter::default() };
    let about = audit::Filter { service: Some(shop.web), ..audit::Filter::default() };
    let about_project = audit::Filter { project: Some(shop.project), ..audit::Filter::default() };
    let secret = variable_name("SECRET");
    let ids: Vec<_> = shop.story.deployments.keys().map(|id| domain::id::DeploymentId(*id)).collect();
    let mut found = vec![];
    macro_rules! ask {
        ($($query:expr),* $(,)?) => { $(found.push(format!("{:?}", $query.await.unwrap()));)* };
    }
    ask!(
        project::get(store, organization, shop.project),
        project::environments(store, organization, shop.project),
        project::environment_of(store, organization, shop.project, "production"),
        project::find(store, organization, &shop.project.to_string()),
        service::list(store, organization, &of_project, &page),
        service::list(store, organization, &of_environment, &page),
        service::get(store, organization, shop.web),
        service::find(store, organization, shop.production, "web"),
        service::place(store, organization, shop.web),
        variable::list(store, organization, shop.web),
        variable::get(store, organization, shop.web, &secret),
        deployment::list(store, organization, &of_service, &page),
        deployment::list(store, organization, &in_project, &page),
        release::list(store, organization, shop.web, &page),
        release::find(store, organization, shop.web, ReleaseNumber(1)),
        audit::list(store, organization, &about, &page),
        audit::list(store, organization, &about_project, &page),
    );
    for id in ids {
        ask!(deployment::get(store, organization, id), timeline::of(store, organization, id));
    }
    found
}

fn is_nothing(found: &str) -> bool {
    found == "None" || found == "[]" || found.starts_with("Listed { items: []")
}

on_both! {
    async fn what_another_organization_has_is_not_found(database: Database) {
        let (acme, other) = two().await;
        let store = told(&database, &other.story).await;
        for found in everything(&store, OTHER, &acme).await {
            assert!(is_nothing(&found), "{found}");
        }
        for found in everything(&store, ACME, &other).await.iter().take(17) {
            assert!(is_nothing(found), "{found}");
        }
        let own = everything(&store, OTHER, &other).await;
        assert!(own.iter().take(17).filter(|found| is_nothing(found)).count() == 0, "{own:?}");
    }

    async fn lists_have_the_organizations_own_rows_only(database: Database) {
        let (acme, other) = two().await;
        let store = told(&database, &other.story).await;
        let page = Page::new(Some(200), None).unwrap();
        for (organization, shop, owner, count) in [(ACME, &acme, OWNER, 2), (OTHER, &other, STRANGER, 1)] {
            let projects = project::list(&store, organization, None, &page).await.unwrap().items;
            assert_eq!(projects.iter().map(|one| one.project.id).collect::<Vec<_>>(), [shop.project]);
            assert_eq!((projects[0].environments.len(), projects[0].project.services), (2, count));
            let found = project::find(&store, organization, "shop").await.unwrap().unwrap();
            assert_eq!(found.project.id, shop.project);
            let all = service::Filter::default();
            let services = service::list(&store, organization, &all, &page).await.unwrap();
            assert!(services.items.iter().all(|service| service.project == shop.project));
            let all = deployment::Filter::default();
            let deployments = deployment::list(&store, organization, &all, &page).await.unwrap();
            assert!(deployments.items.iter().all(|one| one.service == shop.web));
            let history = audit::list(&store, organization, &audit::Filter::default(), &page).await.unwrap();
            assert!(history.items.iter().all(|entry| entry.who.id == Some(owner)));
            let members = organization::members(&store, organization, &page).await.unwrap().items;
            assert_eq!(members.iter().map(|member| member.id).collect::<Vec<_>>(), [owner]);
            assert_eq!(user::names(&store, organization).await.unwrap().len(), 1);
            let own = organization::of_member(&store, owner).await.unwrap();
            assert_eq!(own.iter().map(|one| one.id).collect::<Vec<_>>(), [organization]);
        }
    }
}

/// Whoever adds a query without an organisation has to say why, here and in its comment.
#[test]
fn every_query_takes_an_organization() {
    const EXCEPTIONS: [&str; 5] = ["all", "hostnames", "of_member", "position", "look_closer"];
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut queries) = (vec![sources], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for function in text.split("pub async fn ").skip(1) {
                let signature: String = function.chars().take_while(|c| *c != '{').collect();
                let signature = signature.split_whitespace().collect::<Vec<_>>().join(" ");
                let name = signature.split('(').next().unwrap();
                if !signature.contains("store: &ReadStore") || EXCEPTIONS.contains(&name) {
                    continue;
                }
                queries += 1;
                let is_scoped = signature.contains("store: &ReadStore, organization: OrganizationId");
                assert!(is_scoped, "{}: {signature}", path.display());
            }
        }
    }
    assert!(queries >= 20, "only {queries} queries were found");
}

/// Whoever asks for the rows of all organisations is named here, and has a reason.
#[test]
fn only_the_platform_itself_asks_for_all_rows() {
    const ASKING: [(&str, usize); 3] = [
        ("organization.rs", 1),         // The organisations of a person.
        ("route.rs", 2),                // All routes, all hostnames: for whoever makes them true.
        ("projector/checkpoint.rs", 1), // The position that those stand for.
    ];
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let count =
        |path: &std::path::Path| std::fs::read_to_string(path).unwrap().matches("Select::platform(").count();
    for (file, expected) in ASKING {
        assert_eq!(count(&sources.join(file)), expected, "{file}");
    }
    let (mut folders, mut found) = (vec![sources], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found += count(&path) }
        }
    }
    assert_eq!(found, ASKING.iter().map(|(_, count)| count).sum::<usize>());
}
