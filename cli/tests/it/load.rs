//! Under load: no request fails while releases change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::application::Application;
use crate::platform::{Platform, get};

/// Sends 200 requests a second, each at its moment, until it is told to stop; how many were sent and how many
/// failed.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    failed: Arc<AtomicU32>,
    workers: Vec<thread::JoinHandle<()>>,
}

const PER_SECOND: u32 = 200;
const WORKERS: u32 = 20;

impl Load {
    fn on(platform: &Platform) -> Self {
        let (stop, sent, failed) = (Arc::default(), Arc::default(), Arc::default());
        let address = platform.edge();
        let began = Instant::now();
        let workers = (0..WORKERS).map(|worker| {
            let (stop, sent, failed) = (
                Arc::<AtomicBool>::clone(&stop),
                Arc::<AtomicU32>::clone(&sent),
                Arc::<AtomicU32>::clone(&failed),
            );
            thread::spawn(move || {
                for n in 0.. {
                    let due = began + Duration::from_secs(1) * (n * WORKERS + worker) / PER_SECOND;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let (status, body) = get(address, "web.shop.localhost", "/");
                    sent.fetch_add(1, Ordering::Relaxed);
                    if status != 200 || body.is_empty() {
                        failed.fetch_add(1, Ordering::Relaxed);
                        eprintln!("failed: {status} {body}");
                    }
                }
            })
        });
        let workers = workers.collect();
        Self { stop, sent, failed, workers }
    }

    fn end(self) -> (u32, u32) {
        self.stop.store(true, Ordering::Relaxed);
        self.workers.into_iter().for_each(|worker| worker.join().unwrap());
        (self.sent.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

#[test]
fn no_request_fails_over_deployments_and_a_rollback() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    let load = Load::on(&platform);
    application.say("two");
    application.commit("second");
    platform.deploy(&application.path);
    platform.json(&["variables", "set", "GREETING=hello", "-p", "shop", "-s", "web", "-y"]);
    platform.json(&["rollback", "v1", "-p", "shop", "-s", "web", "-y"]);
    let (sent, failed) = load.end();
    assert!(sent > 100, "{sent}");
    assert_eq!(failed, 0, "of {sent}");
    assert_eq!(platform.get("/").1, "one v4 -");
}

#[test]
fn a_request_in_flight_finishes_on_the_old_release() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    let address = platform.edge();
    let slow = thread::spawn(move || get(address, "web.shop.localhost", "/slow"));
    crate::platform::eventually("the request is there", || {
        platform.server_log();
        let output = platform.run(&["logs", "-p", "shop", "-s", "web"]);
        crate::platform::text(&output).contains("listening")
    });
    platform.json(&["variables", "set", "GREETING=hello", "-p", "shop", "-s", "web", "-y"]);
    let (status, body) = slow.join().unwrap();
    assert_eq!((status, body.as_str()), (200, "one v1 -"));
    assert_eq!(platform.get("/").1, "one v2 hello");
}
