//! What instances print is stored once, whoever was there when it was printed.

use domain::deployment::step::Fence;
use eventlog::logs::{Channel, MAX_LINE_BYTES};
use workers::output::{Output, StoredUntil, stored_until};
use workers::runtime::Runtime;

use crate::runtime::stage::{GRACE, ORIGIN, Stage, until};

#[tokio::test]
async fn lines_have_their_channel_and_the_moment_at_which_they_were_printed() {
    let stage = Stage::new();
    let before = chrono::Utc::now();
    stage.run(&stage.script("echo one; sleep 0.2; echo two >&2; sleep 0.2; printf 'th\\377ree'")).await;
    let lines = stage.lines().await;
    let seen: Vec<_> = lines.iter().map(|line| (line.channel, line.text.as_str())).collect();
    let end = (Channel::Platform, "the program ended with exit status 0");
    let expected = [(Channel::Out, "one"), (Channel::Err, "two"), (Channel::Out, "th\u{fffd}ree"), end];
    assert_eq!(seen, expected);
    assert!(lines[..3].windows(2).all(|pair| pair[0].at < pair[1].at), "{lines:?}");
    assert!(lines[0].at > before && lines[0].at.timestamp_subsec_nanos() % 1000 != 0, "{lines:?}");
}

#[tokio::test]
async fn a_long_line_is_one_line_and_is_cut_at_the_limit() {
    let stage = Stage::new();
    let script = "head -c 16000 /dev/zero | tr '\\0' a; echo; \
                  head -c 100000 /dev/zero | tr '\\0' b; echo; echo end";
    let (_, printed) = stage.run(&stage.script(script)).await;
    assert_eq!(printed.len(), 3);
    assert_eq!(printed[0], "a".repeat(16_000));
    assert_eq!(printed[1].len(), MAX_LINE_BYTES);
    assert!(printed[1].starts_with("bbb") && printed[1].ends_with("(the line is longer)"));
    assert_eq!(printed[2], "end");
}

#[tokio::test]
async fn what_is_printed_as_an_instance_is_stopped_is_stored() {
    let stage = Stage::new();
    let request = stage.script("trap 'echo finished; exit' TERM; echo ready; while :; do sleep 0.05; done");
    let mut exits = stage.runtime.exits();
    stage.start(&request).await;
    stage.wait_for("ready").await;
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    stage.wait_for("finished").await;
    assert_eq!(stage.printed().await, ["ready", "finished"]);
    assert!(exits.try_recv().is_err(), "nobody is told");
    stage.is_empty().await;
}

/// Waits until a platform that is gone has stored what it had in hand.
async fn settled(stage: &Stage) {
    until("its last lines are stored", async || {
        let count = stage.printed().await.len();
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        stage.printed().await.len() == count
    })
    .await;
}

/// A platform that dies and comes back while an instance prints, over and over: every line is stored once, in
/// its order.
#[tokio::test]
async fn no_line_is_lost_or_stored_twice_when_the_platform_comes_and_goes() {
    let stage = Stage::new();
    let request = stage.script(
        "i=0; while [ $i -lt 300 ]; do i=$((i+1)); echo out $i; echo err $i >&2; \
         [ $((i % 3)) = 0 ] && sleep 0.02; done; echo end; sleep 1000",
    );
    {
        let first = stage.other();
        first.start(Fence(1), &request, stage.output()).await.unwrap();
        until("some lines are stored", async || stage.printed().await.len() > 20).await;
    }
    settled(&stage).await;
    for _ in 0..4 {
        // One that died has stored what it had in hand before the next one looks.
        let platform = stage.other();
        assert!(!platform.is_attached(request.id));
        let count = stage.printed().await.len();
        let stored = stored_until(&*stage.logs, stage.log(), ORIGIN).await.unwrap();
        assert_eq!(stage.printed().await.len(), count, "nothing else stores");
        platform.attach(request.id, stored, stage.output()).await.unwrap();
        platform.attach(request.id, StoredUntil::default(), stage.output()).await.unwrap();
        assert!(platform.is_attached(request.id));
        until("more lines are stored", async || {
            let printed = stage.printed().await;
            printed.len() > count + 20 || printed.contains(&"end".to_owned())
        })
        .await;
        drop(platform);
        settled(&stage).await;
    }
    let stored = stored_until(&*stage.logs, stage.log(), ORIGIN).await.unwrap();
    stage.runtime.attach(request.id, stored, stage.output()).await.unwrap();
    stage.wait_for("end").await;
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    let lines = stage.lines().await;
    for (channel, name) in [(Channel::Out, "out"), (Channel::Err, "err")] {
        let printed: Vec<_> =
            lines.iter().filter(|line| line.channel == channel && line.text != "end").collect();
        let expected: Vec<String> = (1..=300).map(|number| format!("{name} {number}")).collect();
        let printed: Vec<String> = printed.iter().map(|line| line.text.clone()).collect();
        assert_eq!(printed, expected);
    }
}

#[tokio::test]
async fn what_was_printed_before_a_crash_that_nobody_saw_is_stored_before_it_is_started_again() {
    let stage = Stage::new();
    let request = stage.script("echo last words; exit 1");
    {
        let gone = stage.other();
        gone.start(Fence(1), &request, Output::nowhere()).await.unwrap();
    }
    let runtime = &stage.runtime;
    until("it has ended", async || {
        matches!(runtime.state(request.id).await.unwrap(), workers::runtime::InstanceState::Exited { .. })
    })
    .await;
    runtime.attach(request.id, StoredUntil::default(), stage.output()).await.unwrap();
    stage.start(&request).await;
    until("both are stored", async || stage.printed().await == ["last words", "last words"]).await;
    runtime.stop(request.id, GRACE).await.unwrap();
}
