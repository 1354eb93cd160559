//! How the projector stands, seen from a process that has none.

use domain::event::Event;
use domain::service;
use domain::stream::{Position, Recorded};
use switchback_projections::change::Change;
use switchback_projections::projection::{self, Projection};
use switchback_projections::projector::{Observer, Projector, State};

use crate::database::{on_both, told};
use crate::story::Shop;

fn broken(recorded: &Recorded) -> Vec<Change> {
    if let Event::Service(service::Event::VariablesChanged { set, .. }) = &recorded.event {
        assert!(!set.keys().any(|name| name.as_str() == "BAD"), "a mistake in a projection");
    }
    switchback_projections::variable::changes(recorded)
}

fn with_a_mistake() -> Vec<Projection> {
    let all = projection::ALL.iter().copied();
    all.map(|one| if one.name == "variable" { Projection { changes: broken, ..one } } else { one }).collect()
}

on_both! {
    async fn lag_and_what_stopped_a_projection_are_seen_from_another_process(database: Database) {
        let mut shop = Shop::open().await;
        let observer = Observer::new(shop.story.shared(), database.open().await, &projection::ALL);
        let status = observer.look().await;
        assert!(status.projections.iter().all(|one| one.state == State::Starting && one.lag == 5));
        assert!(!status.is_healthy());

        let projector = Projector::new(shop.story.shared(), database.open().await, with_a_mistake());
        projector.catch_up().await.unwrap();
        let status = observer.look().await;
        assert!(status.is_healthy(), "{status:?}");
        assert_eq!((status.head, status.reached()), (Position(5), Position(5)));

        shop.story.stage(shop.web, "GOOD", "1", None).await;
        let status = observer.look().await;
        assert!(status.projections.iter().all(|one| one.lag == 1), "{status:?}");

        let bad = shop.story.stage(shop.web, "BAD", "1", None).await;
        let last = shop.story.stage(shop.web, "GOOD", "2", None).await;
        projector.catch_up().await.unwrap();
        let status = observer.look().await;
        assert_eq!(status.reached(), last, "nobody waits for the one that is stopped");
        for one in &status.projections {
            let expected = if one.name == "variable" { (State::Stopped, 2) } else { (State::Live, 0) };
            assert_eq!((one.state, one.lag), expected, "{}", one.name);
        }
        let stopped = status.projections.iter().find(|one| one.name == "variable").unwrap();
        let poison = stopped.poison.clone().unwrap();
        assert_eq!(poison.position, bad);
        assert!(poison.message.contains("panicked"), "{}", poison.message);

        // A mended program goes on, and that is seen as well.
        told(&database, &shop.story).await;
        assert!(observer.look().await.is_healthy());
    }
}
