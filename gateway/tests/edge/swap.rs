//! Releases that take turns under load: every request is answered, by a release that was alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::app::App;
use crate::http2;
use crate::site::{LIMIT, Site, until};

const SWAPS: usize = 50;
const CLIENTS: usize = 8;

/// The requests between two swaps: so many that every client has some, and connections are used again.
const REQUESTS_PER_SWAP: usize = 120;

async fn release(number: usize) -> App {
    App::answering(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{number:08}", 8)).await
}

#[derive(Default)]
struct Load {
    answered: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::SeqCst)
    }
}

/// One client that keeps its connection all the time; the number of releases it has seen.
async fn keep_asking(site: Arc<Site>, load: Arc<Load>, number: usize) -> usize {
    let mut caller = site.caller().await;
    let mut releases = std::collections::HashSet::new();
    while load.goes_on() {
        let answer =
            if number.is_multiple_of(2) { caller.get("/").await } else { caller.post("/", "hello").await };
        assert_eq!((answer.status, answer.is_whole), (200, true), "{}", answer.head);
        releases.insert(answer.text().to_owned());
        load.answered.fetch_add(1, Ordering::SeqCst);
    }
    releases.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_while_releases_are_swapped_and_killed() {
    let site = Arc::new(Site::start().await);
    let mut current = release(0).await;
    site.route("a.test", "v0", &[current.address]);
    let load = Arc::new(Load::default());
    let clients: Vec<_> =
        (0..CLIENTS).map(|n| tokio::spawn(keep_asking(Arc::clone(&site), Arc::clone(&load), n))).collect();

    for number in 1..=SWAPS {
        let enough = number * REQUESTS_PER_SWAP;
        until("requests to be answered", || {
            load.answered.load(Ordering::SeqCst) >= enough
                || clients.iter().any(|client| client.is_finished())
        })
        .await;
        let next = release(number).await;
        site.route("a.test", &format!("v{number}"), &[next.address]);
        assert!(site.edge.table().drained("a.test", &format!("v{}", number - 1), LIMIT).await);
        // Nothing is with it any more: killing it may hurt nobody.
        current.kill();
        current = next;
    }
    load.is_over.store(true, Ordering::SeqCst);
    for client in clients {
        let releases = client.await.unwrap();
        assert!(releases > SWAPS / 2, "a client saw only {releases} releases");
    }
    let counters = site.edge.counters();
    assert_eq!(counters.failures.iter().map(|(_, count)| count).sum::<u64>(), 0, "{counters:?}");
    assert_eq!(counters.connections_accepted, CLIENTS as u64);
    assert_eq!(counters.requests, load.answered.load(Ordering::SeqCst) as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_is_one_of_http_2() {
    let site = Arc::new(Site::start().await);
    let mut current = release(0).await;
    site.route("a.test", "v0", &[current.address]);
    let load = Arc::new(Load::default());
    let client = http2::client(&site).await;
    let asking: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut client, load) = (client.clone(), Arc::clone(&load));
            tokio::spawn(async move {
                while load.goes_on() {
                    let response = client.send_request(http2::get("http://a.test/")).await.unwrap();
                    assert_eq!(response.status(), 200);
                    assert_eq!(http2::text(response).await.len(), 8);
                    load.answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for number in 1..=SWAPS {
        let enough = number * REQUESTS_PER_SWAP;
        until("requests to be answered", || {
            load.answered.load(Ordering::SeqCst) >= enough || asking.iter().any(|client| client.is_finished())
        })
        .await;
        let next = release(number).await;
        site.route("a.test", &format!("v{number}"), &[next.address]);
        assert!(site.edge.table().drained("a.test", &format!("v{}", number - 1), LIMIT).await);
        current.kill();
        current = next;
    }
    load.is_over.store(true, Ordering::SeqCst);
    for one in asking {
        one.await.unwrap();
    }
}
