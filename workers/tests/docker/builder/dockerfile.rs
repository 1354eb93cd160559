//! Dockerfiles of the repository's own.

use domain::plan::{Language, Start};
use workers::disk::Usage;

use crate::builder::Workshop;

const FROM: &str = "FROM switchback-test/busybox";

#[tokio::test]
async fn a_dockerfile_is_built_with_its_target_and_arguments_and_labelled() {
    let dockerfile = format!(
        "# syntax=docker/dockerfile:1\n{FROM} AS first\nARG WORD=none\nRUN echo \"it is $WORD\" | tee /word\n\
         {FROM}\nRUN false\n"
    );
    let manifest =
        "[build]\ndockerfile = \"deploy/Dockerfile\"\ntarget = \"first\"\narguments = { WORD = \"hé $X\" }\n";
    let mut workshop = Workshop::new(&[("deploy/Dockerfile", &dockerfile), ("switchback.toml", manifest)]);
    let revision = domain::source::Revision { id: "a".repeat(40).parse().unwrap(), subject: "x".into() };
    workshop.request.revision = Some(revision);
    let plan = workshop.built().await;
    assert_eq!((plan.language, &plan.run.start), (Language::Dockerfile, &Start::Image {}));
    assert_eq!(workshop.files().await["/word"], "it is hé $X\n".as_bytes());
    let image = workshop.engine.client.inspect_image(&workshop.image()).await.unwrap();
    let labels = image.config.unwrap().labels.unwrap();
    assert_eq!(labels["org.opencontainers.image.revision"], "a".repeat(40));
    assert_eq!(labels["dev.switchback.installation"], workshop.engine.installation.to_string());
    assert_eq!(labels["dev.switchback.service"], workshop.request.service.to_string());
    assert_eq!(labels["dev.switchback.deployment"], workshop.request.deployment.to_string());
    let lines = workshop.lines();
    assert!(lines.iter().any(|line| line == "it is hé $X"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("the engine's own front end")), "{lines:#?}");
    assert!(workshop.directory_is_gone());
}

#[tokio::test]
async fn what_is_ignored_is_not_in_the_image_and_a_root_is_its_context() {
    let workshop = Workshop::new(&[
        ("switchback.toml", "[service]\nroot = \"apps/web\"\n"),
        ("apps/web/Dockerfile", &format!("{FROM}\nCOPY . /srv\nEXPOSE 3000\n")),
        ("apps/web/.dockerignore", "node_modules\n**/*.log\n"),
        ("apps/web/index.html", "hello"),
        ("apps/web/node_modules/x.js", "x"),
        ("apps/web/deep/x.log", "x"),
        ("apps/web/deep/y", "y"),
        ("secret", "outside the root"),
    ]);
    let plan = workshop.built().await;
    assert_eq!(plan.run.port, Some(3000));
    let files = workshop.files().await;
    let served: Vec<_> = files
        .keys()
        .filter(|path| path.starts_with("/srv/") && *path != "/srv/")
        .map(String::as_str)
        .collect();
    assert_eq!(
        served,
        ["/srv/.dockerignore", "/srv/Dockerfile", "/srv/deep/", "/srv/deep/y", "/srv/index.html"]
    );
}

#[tokio::test]
async fn a_step_that_fails_says_which_and_leaves_no_image() {
    let workshop = Workshop::new(&[("Dockerfile", &format!("{FROM}\nRUN echo before; exit 3\n"))]);
    let error = workshop.build().await.unwrap_err();
    assert_eq!(error.code, "build_failed");
    assert!(
        error.message.contains("RUN echo before; exit 3") && error.message.contains("status 3"),
        "{error}"
    );
    assert!(workshop.lines().contains(&"before".to_owned()), "{:#?}", workshop.lines());
    assert!(!workshop.exists().await);
}

#[tokio::test]
async fn mistakes_in_a_dockerfile_are_named() {
    for (text, says) in [
        ("FORM x\n", "unknown instruction"),
        ("FROM switchback-test/busybox\nCOPY absent /x\n", "absent"),
        ("FROM switchback-test/no-such-image\n", "no-such-image"),
    ] {
        let workshop = Workshop::new(&[("Dockerfile", text)]);
        let error = workshop.build().await.unwrap_err();
        assert_eq!(error.code, "build_failed", "{error}");
        assert!(error.message.contains(says), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_context_and_an_image_have_their_limits() {
    let file = format!("{FROM}\nCOPY . /srv\n");
    let tree = [("Dockerfile", file.as_str()), ("a", "0123456789")];
    let workshop = Workshop::with(&tree, |settings| settings.context = Usage { bytes: 20, entries: 10 });
    assert_eq!(workshop.build().await.unwrap_err().code, "context_too_large");
    let workshop = Workshop::with(&tree, |settings| settings.image_bytes = 1_000_000);
    let error = workshop.build().await.unwrap_err();
    assert_eq!(error.code, "image_too_large");
    assert!(!workshop.exists().await);
}

#[tokio::test]
async fn what_a_build_prints_is_bounded() {
    let file = format!("{FROM}\nRUN seq 1 5000\n");
    let workshop = Workshop::with(&[("Dockerfile", &file)], |settings| settings.log.lines = 100);
    workshop.built().await;
    let lines = workshop.lines();
    assert!(lines.contains(&"100".to_owned()) && !lines.contains(&"101".to_owned()));
    assert!(lines.iter().any(|line| line.contains("is left out")));
}
