//! Names that only one can have.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use commands::clock::Clock;
use domain::claim::{Claim, Command, Key};
use domain::stream::{AggregateKind, StreamId};
use domain::testing::NOW;
use eventlog::memory::MemoryLog;
use uuid::Uuid;

use crate::{HOME, House, by_owner};

struct TestClock(Mutex<DateTime<Utc>>);

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

#[tokio::test]
async fn a_deleted_projects_name_is_free_again() {
    let house = House::new().await;
    let (project, _) = house.project("shop").await;
    house.bus.delete_project(&by_owner(), HOME, project).await.unwrap();
    assert_ne!(house.project("Shop").await.0, project);
}

#[tokio::test]
async fn a_renamed_project_gives_its_old_name_back_and_holds_the_new_one() {
    let house = House::new().await;
    let (project, _) = house.project("shop").await;
    house.bus.rename_project(&by_owner(), HOME, project, "store".parse().unwrap()).await.unwrap();
    house.project("shop").await;
    let refused = house.bus.create_project(&by_owner(), HOME, "store".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), Some("project_name_taken"));
}

#[tokio::test]
async fn two_services_of_one_name_are_refused_and_a_deleted_ones_names_are_free() {
    let house = House::new().await;
    let place = house.project("shop").await;
    let service = house.service(place, "web").await;
    let again = house.bus.create_service(&by_owner(), HOME, place, "web".parse().unwrap(), "localhost").await;
    assert_eq!(again.unwrap_err().code(), Some("service_name_taken"));
    house.bus.delete_service(&by_owner(), HOME, service).await.unwrap();
    assert_ne!(house.service(place, "web").await, service);
}

#[tokio::test]
async fn a_name_whose_owner_never_came_is_free_after_a_minute() {
    let clock = Arc::new(TestClock(Mutex::new(NOW)));
    let house = House::over(Arc::new(MemoryLog::new()), Arc::<TestClock>::clone(&clock)).await;
    // Somebody claimed the name and died before the project was made.
    let key = Key::ProjectSlug { organization: HOME, slug: "shop".into() };
    let never = StreamId { organization: HOME, kind: AggregateKind::Project, id: Uuid::from_u128(0xdead) };
    let take = Command::Take { key: key.clone(), owner: never.into() };
    house.bus.dispatch::<Claim>(&by_owner(), key.stream(), take).await.unwrap();

    *clock.0.lock().unwrap() = NOW + TimeDelta::seconds(59);
    let refused = house.bus.create_project(&by_owner(), HOME, "shop".parse().unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), Some("project_name_taken"));

    *clock.0.lock().unwrap() = NOW + TimeDelta::seconds(61);
    house.bus.create_project(&by_owner(), HOME, "shop".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_service_is_not_made_in_a_deleted_project() {
    let house = House::new().await;
    let place = house.project("shop").await;
    house.bus.delete_project(&by_owner(), HOME, place.0).await.unwrap();
    let refused =
        house.bus.create_service(&by_owner(), HOME, place, "web".parse().unwrap(), "localhost").await;
    assert_eq!(refused.unwrap_err().code(), Some("project_not_found"));
}
