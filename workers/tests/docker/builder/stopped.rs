//! Builds that do not come to their end, and what they leave: nothing.

use std::time::Duration;

use domain::deployment::step::Step;
use tokio_util::sync::CancellationToken;
use workers::builder::Builder;

use crate::builder::Workshop;
use crate::engine::LIMIT;

/// A build that waits, under a name that no other test's has.
fn waiting() -> (Workshop, String) {
    let marker = uuid::Uuid::now_v7().simple().to_string();
    let seconds = format!("1000{}", u32::from_str_radix(&marker[24..30], 16).unwrap());
    let file = format!("FROM switchback-test/busybox\nRUN echo waiting; sleep {seconds}\n");
    (Workshop::new(&[("Dockerfile", &file)]), format!("sleep\0{seconds}\0"))
}

/// Whether a process with these words runs on this machine.
fn runs(words: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes.into_iter().any(|process| {
        std::fs::read(process.path().join("cmdline")).is_ok_and(|line| line == words.as_bytes())
    })
}

async fn until_gone(words: &str) {
    let wait = async {
        while runs(words) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("the engine has ended it");
}

#[tokio::test]
async fn a_cancelled_build_ends_in_the_engine_and_leaves_nothing() {
    let (workshop, words) = waiting();
    let plan = workshop.detect().await.unwrap();
    let cancel = CancellationToken::new();
    let stop = async {
        workshop.wait_for("waiting").await;
        assert!(runs(&words));
        cancel.cancel();
    };
    let (built, ()) = tokio::join!(workshop.build_by(&plan, &cancel), stop);
    assert_eq!(built.unwrap_err().code, "build_cancelled");
    until_gone(&words).await;
    workshop.builder.clean(workshop.request.deployment).await.unwrap();
    workshop.builder.clean(workshop.request.deployment).await.unwrap();
    assert!(!workshop.exists().await && workshop.directory_is_gone());
}

#[tokio::test]
async fn a_later_attempt_ends_the_earlier() {
    let (workshop, words) = waiting();
    let plan = workshop.detect().await.unwrap();
    let never = CancellationToken::new();
    let first = workshop.build_by(&plan, &never);
    let second = async {
        workshop.wait_for("waiting").await;
        let cancel = CancellationToken::new();
        let (key, output) = (workshop.key(Step::Build, 2), workshop.output());
        let building = workshop.builder.build(key, &workshop.request, &plan, &output, &cancel);
        let stop = async {
            workshop.wait_for("unreachable-but-for-the-limit").await;
        };
        tokio::select! {
            built = building => built,
            () = async { tokio::time::sleep(Duration::from_millis(300)).await; cancel.cancel(); stop.await } => unreachable!(),
        }
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap_err().code, "build_failed");
    assert_eq!(second.unwrap_err().code, "build_cancelled");
    until_gone(&words).await;
}

#[tokio::test]
async fn a_build_that_takes_too_long_is_ended() {
    let seconds = "98765";
    let file = format!("FROM switchback-test/busybox\nRUN sleep {seconds}\n");
    let workshop =
        Workshop::with(&[("Dockerfile", &file)], |settings| settings.limit = Duration::from_secs(3));
    let error = workshop.build().await.unwrap_err();
    assert_eq!(error.code, "build_timed_out");
    until_gone(&format!("sleep\0{seconds}\0")).await;
}

#[tokio::test]
async fn what_was_built_and_not_pushed_is_removed() {
    let workshop = Workshop::new(&[("Dockerfile", "FROM switchback-test/busybox\nRUN echo x > /x\n")]);
    workshop.built().await;
    assert!(workshop.exists().await);
    workshop.builder.clean(workshop.request.deployment).await.unwrap();
    assert!(!workshop.exists().await);
}
