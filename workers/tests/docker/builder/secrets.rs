//! Variables in builds: there when they are needed, and nowhere afterwards.

use crate::builder::{Workshop, files_of};

const CANARY: &str = "canary-5fd1c0ff33-canary";
const FROM: &str = "FROM switchback-test/busybox";

/// What is in the image: every byte of every layer, its configuration, its history.
async fn everything(workshop: &Workshop) -> Vec<u8> {
    let (mut bytes, _) = files_of(&workshop.engine, &workshop.image()).await;
    let history = workshop.engine.client.image_history(&workshop.image()).await.unwrap();
    bytes.extend(format!("{history:?}").into_bytes());
    bytes.extend(format!("{:?}", workshop.engine.client.inspect_image(&workshop.image()).await).into_bytes());
    bytes
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_secret_of_a_dockerfile_is_in_no_layer_no_history_and_no_line() {
    let file = format!(
        "{FROM}\nRUN --mount=type=secret,id=TOKEN wc -c < /run/secrets/TOKEN > /length && cat /run/secrets/TOKEN\n\
         RUN --mount=type=secret,id=OTHER ls /run/secrets/OTHER || echo nothing > /other\n"
    );
    let manifest = "[build]\ndockerfile = \"Dockerfile\"\nsecrets = [\"TOKEN\"]\n";
    let workshop = Workshop::new(&[("Dockerfile", &file), ("switchback.toml", manifest)])
        .variables(&[("TOKEN", CANARY), ("OTHER", "not to be given")]);
    workshop.built().await;
    let files = workshop.files().await;
    assert_eq!(files["/length"], format!("{}\n", CANARY.len()).as_bytes());
    assert!(files.contains_key("/other"), "a variable that was not named was given");
    let bytes = everything(&workshop).await;
    assert!(contains(&bytes, "/length") && !contains(&bytes, CANARY));
    assert!(!workshop.lines().iter().any(|line| line.contains(CANARY)), "{:#?}", workshop.lines());
    let left: Vec<_> = workshop
        .engine
        .client
        .df(None::<bollard::query_parameters::DataUsageOptions>)
        .await
        .map(|usage| format!("{usage:?}"))
        .into_iter()
        .collect();
    assert!(!left.iter().any(|text| text.contains(CANARY)), "the build cache tells it");
}

#[tokio::test]
async fn variables_of_a_plan_are_in_no_layer_and_no_history() {
    let manifest = "[build]\nbuild = \"sh ./build --token=$TOKEN\"\n[run]\ncommand = \"./run\"\n";
    let build =
        "test \"$1\" = \"--token=$TOKEN\" && env | grep ^TOKEN= | cut -d= -f2 | wc -c > length; env | sort";
    let workshop = Workshop::new(&[("switchback.toml", manifest), ("build", build)]);
    let workshop = workshop.variables(&[("TOKEN", CANARY)]);
    workshop.built().await;
    assert_eq!(workshop.files().await["/app/length"], format!("{}\n", CANARY.len() + 1).as_bytes());
    let bytes = everything(&workshop).await;
    assert!(contains(&bytes, "/bin/sh") && !contains(&bytes, CANARY));
    assert!(!workshop.lines().iter().any(|line| line.contains(CANARY)), "{:#?}", workshop.lines());
}

#[tokio::test]
async fn what_one_got_with_its_secret_is_given_to_nobody_else() {
    let file = format!("{FROM}\nRUN --mount=type=secret,id=TOKEN md5sum < /run/secrets/TOKEN > /sum\n");
    let tree = [
        ("Dockerfile", file.as_str()),
        ("switchback.toml", "[build]\ndockerfile = \"Dockerfile\"\nsecrets = [\"TOKEN\"]\n"),
    ];
    let mut workshop = Workshop::new(&tree).variables(&[("TOKEN", "the first's")]);
    workshop.built().await;
    let first = workshop.files().await["/sum"].clone();
    workshop.other_service(&tree);
    let mut workshop = workshop.variables(&[("TOKEN", "the second's")]);
    workshop.built().await;
    let second = workshop.files().await["/sum"].clone();
    assert_ne!(first, second);
    // The same service with another value is built again, too.
    workshop.next(&tree);
    let workshop = workshop.variables(&[("TOKEN", "a new one of the second's")]);
    workshop.built().await;
    assert_ne!(second, workshop.files().await["/sum"]);
}

#[tokio::test]
async fn a_secret_that_is_not_set_is_asked_for() {
    let manifest = "[build]\ndockerfile = \"Dockerfile\"\nsecrets = [\"TOKEN\"]\n";
    let workshop = Workshop::new(&[("Dockerfile", FROM), ("switchback.toml", manifest)]);
    let error = workshop.build().await.unwrap_err();
    assert_eq!(error.code, "secret_missing");
    assert!(error.message.contains("switchback variables set TOKEN"), "{error}");
}

#[tokio::test]
async fn a_cache_of_a_dockerfile_belongs_to_its_service() {
    let file = |word: &str| {
        format!(
            "{FROM}\nRUN --mount=type=cache,id=shared,target=/c ls /c > /before; echo {word} >> /c/seen\n"
        )
    };
    let mut workshop = Workshop::new(&[("Dockerfile", &file("one"))]);
    workshop.built().await;
    workshop.next(&[("Dockerfile", &file("two"))]);
    workshop.built().await;
    assert_eq!(workshop.files().await["/before"], b"seen\n");
    workshop.other_service(&[("Dockerfile", &file("three"))]);
    workshop.built().await;
    assert_eq!(workshop.files().await["/before"], b"");
}
