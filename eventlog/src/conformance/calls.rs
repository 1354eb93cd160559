//! What calls promise, wherever they go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::calls::{Answers, Handler, Serving, SharedCalls};

/// Calls to be tried.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Calls as a process has them; another process each time, where there can be several.
    async fn calls(&self) -> SharedCalls;
}

/// Makes a test of each case, for the fixture that the expression gives (it may await).
#[macro_export]
macro_rules! calls_suite {
    ($fixture:expr) => {
        $crate::cases!(
            calls,
            $fixture,
            everybody_of_the_kind_is_asked_and_nobody_else,
            when_nobody_is_there_it_is_said_at_once,
            an_answer_that_takes_longer_is_waited_for,
            one_that_does_not_answer_is_counted,
            one_that_serves_no_more_is_not_asked,
            many_calls_at_once_get_their_own_answers
        );
    };
}

const LIMIT: Duration = Duration::from_secs(20);

fn kind() -> String {
    Uuid::now_v7().simple().to_string()
}

/// Says what it was asked, after a while.
fn echo(after: Duration) -> Handler {
    Arc::new(move |request: Value| {
        async move {
            tokio::time::sleep(after).await;
            json!({ "asked": request })
        }
        .boxed()
    })
}

async fn serve(fixture: &impl Fixture, kind: &str, name: &str, after: Duration) -> Serving {
    fixture.calls().await.serve(kind, name, echo(after)).await.unwrap()
}

fn names(answers: &Answers) -> Vec<&str> {
    let mut names: Vec<_> = answers.answers.iter().map(|answer| answer.from.as_str()).collect();
    names.sort_unstable();
    names
}

/// Also two of one name.
pub async fn everybody_of_the_kind_is_asked_and_nobody_else(fixture: impl Fixture) {
    let (kind, other) = (kind(), kind());
    let mut serving = Vec::new();
    for name in ["a", "b", "b"] {
        serving.push(serve(&fixture, &kind, name, Duration::ZERO).await);
    }
    serving.push(serve(&fixture, &other, "c", Duration::ZERO).await);
    let answers = fixture.calls().await.ask(&kind, json!(7), LIMIT).await.unwrap();
    assert_eq!((answers.present, names(&answers)), (3, vec!["a", "b", "b"]));
    assert!(answers.is_complete());
    assert!(answers.answers.iter().all(|answer| answer.value == json!({ "asked": 7 })));
}

/// It is no error.
pub async fn when_nobody_is_there_it_is_said_at_once(fixture: impl Fixture) {
    let begin = Instant::now();
    let answers = fixture.calls().await.ask(&kind(), Value::Null, LIMIT).await.unwrap();
    assert_eq!(answers, Answers::default());
    assert!(answers.is_complete() && begin.elapsed() < LIMIT / 2);
}

/// Longer than it takes to say that one is there.
pub async fn an_answer_that_takes_longer_is_waited_for(fixture: impl Fixture) {
    let kind = kind();
    let _quick = serve(&fixture, &kind, "quick", Duration::ZERO).await;
    let _slow = serve(&fixture, &kind, "slow", Duration::from_millis(1500)).await;
    let answers = fixture.calls().await.ask(&kind, json!({}), LIMIT).await.unwrap();
    assert_eq!((answers.present, names(&answers)), (2, vec!["quick", "slow"]));
}

/// What the others say is known when the time is over.
pub async fn one_that_does_not_answer_is_counted(fixture: impl Fixture) {
    let kind = kind();
    let _quick = serve(&fixture, &kind, "quick", Duration::ZERO).await;
    let _hangs = serve(&fixture, &kind, "hangs", LIMIT * 10).await;
    let answers = fixture.calls().await.ask(&kind, json!({}), Duration::from_millis(900)).await.unwrap();
    assert_eq!((answers.present, names(&answers)), (2, vec!["quick"]));
    assert!(!answers.is_complete());
}

/// Nor waited for.
pub async fn one_that_serves_no_more_is_not_asked(fixture: impl Fixture) {
    let kind = kind();
    let _stays = serve(&fixture, &kind, "stays", Duration::ZERO).await;
    drop(serve(&fixture, &kind, "goes", Duration::ZERO).await);
    let begin = Instant::now();
    loop {
        let answers = fixture.calls().await.ask(&kind, json!({}), LIMIT).await.unwrap();
        if answers.present == 1 {
            assert_eq!(names(&answers), ["stays"]);
            return;
        }
        assert!(begin.elapsed() < LIMIT, "{answers:?}");
    }
}

/// Not those of others.
pub async fn many_calls_at_once_get_their_own_answers(fixture: impl Fixture) {
    let kind = kind();
    let _one = serve(&fixture, &kind, "one", Duration::ZERO).await;
    let calls = fixture.calls().await;
    let asked = (0..50).map(|number| {
        let (calls, kind) = (calls.clone(), kind.clone());
        tokio::spawn(async move {
            let answers = calls.ask(&kind, json!(number), LIMIT).await.unwrap();
            assert_eq!(answers.present, 1);
            assert_eq!(answers.answers[0].value, json!({ "asked": number }));
        })
    });
    for asked in asked.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
}
