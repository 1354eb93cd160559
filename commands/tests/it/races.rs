//! Many at once, and a log that fails now and then.

use std::collections::HashSet;
use std::sync::Arc;

use commands::clock::SystemClock;
use commands::error::CommandError;
use domain::event::Event;
use domain::project::Event::EnvironmentAdded;
use domain::stream::Position;
use eventlog::faults::{FaultyLog, Rates};
use eventlog::log::{Filter, MAX_PAGE};
use eventlog::memory::MemoryLog;
use futures::future::join_all;

use crate::{HOME, House, by_owner};

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_want_a_name_one_gets_it() {
    let house = House::new().await;
    let house = &house;
    let tries = (0..20).map(|_| async move {
        house.restarted().create_project(&by_owner(), HOME, "shop".parse().unwrap()).await
    });
    let (won, lost): (Vec<_>, Vec<_>) = join_all(tries).await.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 19));
    for refused in lost {
        assert_eq!(refused.unwrap_err().code(), Some("project_name_taken"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_several_gateways_on_one_stream_all_count() {
    let house = House::new().await;
    let (project, _) = house.project("shop").await;
    let gateways: Vec<_> = (0..8).map(|_| house.restarted()).collect();
    let adding = gateways.iter().enumerate().flat_map(|(g, bus)| {
        (0..4).map(move |n| async move {
            let name = format!("e{g}-{n}").parse().unwrap();
            bus.add_environment(&by_owner(), HOME, project, name).await.map(|(_, outcome)| outcome.position)
        })
    });
    let positions: HashSet<Position> = join_all(adding).await.into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(positions.len(), 32);
}

/// I1 and I2 of the invariants: what was acknowledged is in the log once, what was not is there once or not
/// at all.
#[tokio::test]
async fn whatever_the_log_does_an_acknowledged_command_is_there_once() {
    for seed in 0..40 {
        let memory = Arc::new(MemoryLog::new());
        let house = House::over(Arc::<MemoryLog>::clone(&memory), Arc::new(SystemClock)).await;
        let rates = Rates { answer_lost: 150, request_lost: 100, unavailable: 50, conflict: 150 };
        let faulty = FaultyLog::new(Arc::<MemoryLog>::clone(&memory), seed, rates);
        let keyring = house.bus.keyring().clone();
        let bus = commands::bus::Bus::new(faulty, Arc::new(SystemClock), keyring);
        let (project, _) = house.project("shop").await;
        let mut acknowledged = HashSet::new();
        let mut attempted = HashSet::new();
        for n in 0..40 {
            let name = format!("e{n}");
            attempted.insert(name.clone());
            match bus.add_environment(&by_owner(), HOME, project, name.parse().unwrap()).await {
                Ok(_) => {
                    acknowledged.insert(name);
                }
                Err(CommandError::Append(_) | CommandError::Read(_) | CommandError::Contended) => {}
                Err(other) => panic!("seed {seed}: {other}"),
            }
        }
        let page = house.log.read_all(Position::ZERO, &Filter::all(), MAX_PAGE).await.unwrap();
        let added = page.commits.iter().flat_map(|commit| &commit.events).filter_map(|recorded| {
            let Event::Project(EnvironmentAdded { environment }) = &recorded.event else { return None };
            Some(environment.name.to_string())
        });
        let added: Vec<String> = added.collect();
        let once: HashSet<String> = added.iter().cloned().collect();
        assert_eq!(added.len(), once.len(), "seed {seed}: something is there twice");
        assert!(acknowledged.is_subset(&once), "seed {seed}: something acknowledged is missing");
        assert!(once.is_subset(&attempted), "seed {seed}");
        assert!(acknowledged.len() > 10, "seed {seed}: the faults left too little to look at");
    }
}
