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

async fn until_it(runs_then: bool, words: &str) {
    let wait = async {
        while runs(words) != runs_then {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("the engine has begun or ended it");
}

async fn until_gone(words: &str) {
    until_it(false, words).await;
}

#[tokio::test]
async fn a_cancelled_build_ends_in_the_engine_and_leaves_nothing() {
    let (workshop, words) = waiting();
    let plan = workshop.detect().await.unwrap();
    let cancel = CancellationToken::new();
    let stop = async {
        until_it(true, &words).await;
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
    let (never, cancel) = (CancellationToken::new(), CancellationToken::new());
    let first = workshop.build_by(&plan, &never);
    let second = async {
        until_it(true, &words).await;
        let (key, output) = (workshop.key(Step::Build, 2), workshop.output());
        workshop.builder.build(key, &workshop.request, &plan, &output, &cancel).await
    };
    let stop = async {
        let twice = || workshop.lines().iter().filter(|line| *line == "waiting").count() == 2;
        let wait = async {
            while !twice() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect("the second attempt builds");
        cancel.cancel();
    };
    let (first, second, ()) = tokio::join!(first, second, stop);
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

/// Passes everything on to the engine, and breaks off what carries a build when it is told.
async fn passing_on(to: String, broken: CancellationToken) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("docker.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let to = to.strip_prefix("unix://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (to, broken) = (to.clone(), broken.clone());
            let breaks = !broken.is_cancelled();
            tokio::spawn(async move {
                let mut engine = tokio::net::UnixStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut stream, &mut engine) => {}
                    () = broken.cancelled(), if breaks => {}
                }
            });
        }
    });
    (directory, format!("unix://{}", path.display()))
}

#[tokio::test]
async fn a_build_is_begun_again_when_the_engine_was_away() {
    let file = "FROM switchback-test/busybox\nRUN echo waiting; sleep 2; echo done > /done\n";
    let broken = CancellationToken::new();
    let (_directory, address) =
        passing_on(crate::engine::TestEngine::new().url.clone(), broken.clone()).await;
    let workshop = Workshop::with(&[("Dockerfile", file)], |settings| {
        settings.engine = workers::builder::docker::Engine::at(&address).unwrap();
    });
    let plan = workshop.detect().await.unwrap();
    let never = CancellationToken::new();
    let interrupt = async {
        workshop.wait_for("waiting").await;
        broken.cancel();
    };
    let (built, ()) = tokio::join!(workshop.build_by(&plan, &never), interrupt);
    built.unwrap_or_else(|error| panic!("{error}: {:#?}", workshop.lines()));
    assert!(workshop.files().await.contains_key("/done"));
    assert!(workshop.lines().iter().any(|line| line.contains("beginning again")), "{:#?}", workshop.lines());
}
