//! How builds end that do not come to their end, and what is left of them.

use std::fs;
use std::time::{Duration, Instant};

use domain::deployment::step::Step;
use tokio_util::sync::CancellationToken;
use workers::builder::Builder;
use workers::disk::{Reserve, Usage};
use workers::registry::Registry;
use workers::registry::local::{ARTIFACT_MAX, LocalRegistry};

use super::{Workshop, plan};
use crate::platform::{LIMIT, located};

/// Starts children that want to get away, and waits for ever.
const STUBBORN: &str = r#"
trap '' TERM HUP INT
setsid sh -c "trap '' TERM; sleep 1000" &
sleep 1000 &
echo ready
wait
sleep 1000
"#;

#[tokio::test]
async fn a_command_that_fails_is_named_with_its_end() {
    let workshop = Workshop::new(&[("a.sh", "echo why; exit 3"), ("b.sh", "touch b"), ("plain", "text")]);
    for (command, code, says) in [
        ("sh a.sh", "build_failed", "`sh a.sh` ended with exit status 3; its output says why"),
        ("sh -c 'kill -9 $$'", "build_failed", "ended with signal 9 (SIGKILL)"),
        ("no-such-tool x", "tool_missing", "`no-such-tool`, which is not installed on this server"),
        ("./absent", "build_failed", "there is no program `./absent`"),
        ("./plain", "build_failed", "`./plain` is not executable"),
    ] {
        let error = workshop.build(&plan(&[command, "sh b.sh"])).await.expect_err(command);
        assert_eq!((error.code, error.permanent), (code, true), "{error}");
        assert!(error.message.contains(says), "{error}");
        assert!(!workshop.at("b").exists(), "nothing runs after a failure");
        assert_eq!(workshop.beside(), ["app"]);
    }
}

#[tokio::test]
async fn cancelling_ends_a_build_at_once_with_everything_it_started() {
    let workshop = Workshop::new(&[("a.sh", STUBBORN)]);
    let cancel = CancellationToken::new();
    let stop = async {
        workshop.platform.wait_for("ready").await;
        cancel.cancel();
        Instant::now()
    };
    let plan = plan(&["sh a.sh"]);
    let (result, cancelled) = tokio::join!(workshop.build_until(&plan, 1, &cancel), stop);
    assert!(cancelled.elapsed() < Duration::from_secs(1), "{:?}", cancelled.elapsed());
    assert_eq!(result.expect_err("cancelled").code, "build_cancelled");
    workshop.platform.quiet().await;
    assert_eq!(workshop.beside(), ["app"]);
}

#[tokio::test]
async fn a_build_that_is_given_up_half_way_leaves_nothing_running() {
    let workshop = Workshop::new(&[("a.sh", STUBBORN)]);
    let plan = plan(&["sh a.sh"]);
    tokio::select! {
        _ = workshop.build(&plan) => panic!("it waits for ever"),
        () = workshop.platform.wait_for("ready") => {}
    }
    workshop.platform.quiet().await;
}

#[tokio::test]
async fn a_build_that_hangs_is_ended_at_its_limit() {
    let workshop =
        Workshop::with(&[("a.sh", STUBBORN)], |settings| settings.limit = Duration::from_millis(700));
    let begin = Instant::now();
    let error = workshop.build(&plan(&["sh a.sh"])).await.expect_err("it hangs");
    assert_eq!((error.code, error.permanent), ("build_timed_out", true));
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    workshop.platform.quiet().await;
}

#[tokio::test]
async fn a_build_that_prints_without_end_is_ended_at_its_limit_too() {
    let workshop = Workshop::with(&[], |settings| settings.limit = Duration::from_millis(500));
    let error = workshop.build(&plan(&["yes text"])).await.expect_err("it does not end");
    assert_eq!(error.code, "build_timed_out");
    workshop.platform.quiet().await;
}

#[tokio::test]
async fn a_build_that_fills_the_disk_is_ended() {
    let fill = "i=0; while true; do head -c 1000000 /dev/zero > $TMPDIR/$i; i=$((i+1)); done";
    let workshop = Workshop::with(&[("a.sh", fill)], |settings| {
        settings.tree = Usage { bytes: 50 << 20, entries: 1_000 };
    });
    let error = workshop.build(&plan(&["sh a.sh"])).await.expect_err("too much");
    assert_eq!((error.code, error.permanent), ("build_too_large", true));
    assert!(error.message.contains("50 MiB or 1000 in number"), "{error}");
    assert_eq!(workshop.beside(), ["app"], "what it wrote is gone");
    workshop.platform.quiet().await;
}

#[tokio::test]
async fn a_build_that_makes_files_without_end_is_ended() {
    let fill = "i=0; while true; do : > f$i; i=$((i+1)); done";
    let workshop = Workshop::with(&[("a.sh", fill)], |settings| {
        settings.tree = Usage { bytes: 1 << 30, entries: 5_000 };
    });
    assert_eq!(workshop.build(&plan(&["sh a.sh"])).await.expect_err("too many").code, "build_too_large");
}

#[tokio::test]
async fn nothing_is_built_on_a_disk_that_is_full() {
    let workshop = Workshop::with(&[], |settings| settings.reserve = Reserve { bytes: u64::MAX, percent: 0 });
    let error = workshop.build(&plan(&["true"])).await.expect_err("full");
    assert_eq!((error.code, error.permanent), ("disk_full", false));
}

#[tokio::test]
async fn a_second_attempt_ends_the_first_and_an_earlier_worker_is_refused() {
    let workshop = Workshop::new(&[("a.sh", STUBBORN)]);
    let cancel = CancellationToken::new();
    let (hanging, quick) = (plan(&["sh a.sh"]), plan(&["true"]));
    let first = workshop.build_until(&hanging, 1, &cancel);
    let second = async {
        workshop.platform.wait_for("ready").await;
        workshop.build_until(&quick, 2, &cancel).await
    };
    let both = async { tokio::join!(first, second) };
    let (first, second) = tokio::time::timeout(LIMIT, both).await.expect("both end");
    assert_eq!(first.expect_err("ended").code, "build_failed");
    second.expect("built");
    let late = workshop.build_until(&quick, 1, &cancel).await.expect_err("an earlier worker");
    assert_eq!(late.code, "build_failed");
}

#[tokio::test]
async fn cleaning_ends_what_builds_and_removes_what_it_left() {
    let workshop = Workshop::new(&[("a.sh", STUBBORN)]);
    let plan = plan(&["sh a.sh"]);
    let clean = async {
        workshop.platform.wait_for("ready").await;
        workshop.builder.clean(workshop.platform.deployment).await
    };
    let both = async { tokio::join!(workshop.build(&plan), clean) };
    let (built, cleaned) = tokio::time::timeout(LIMIT, both).await.expect("both end");
    assert!(built.is_err());
    cleaned.expect("cleaned");
    workshop.platform.quiet().await;
    workshop.builder.clean(workshop.platform.deployment).await.expect("cleaned before");
    assert!(!workshop.platform.workspace().exists());
}

#[tokio::test]
async fn what_the_registry_has_taken_stays_when_a_deployment_is_cleaned() {
    let workshop = Workshop::new(&[("a", "1")]);
    workshop.build(&plan(&["true"])).await.expect("built");
    let registry = LocalRegistry::new(workshop.platform.data.path(), ARTIFACT_MAX);
    let key = workshop.platform.key(Step::Push, 1);
    let digest = registry.push(key, &workshop.request, "recipe").await.expect("pushed");
    workshop.builder.clean(workshop.platform.deployment).await.expect("cleaned");
    assert_eq!(located(&registry, &digest).await.expect("there"), workshop.request.directory);
    assert!(workshop.at("a").exists());
    fs::remove_dir_all(workshop.platform.data.path().join("artifacts")).expect("removed");
    workshop.builder.clean(workshop.platform.deployment).await.expect("cleaned");
    assert!(!workshop.at("a").exists());
}
