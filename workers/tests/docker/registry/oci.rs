//! Images in a registry.

use domain::source::Source;
use workers::builder::Builder;
use workers::registry::Registry;

use super::{build, collect, files, host, located, push, pushed, registry_at, remove_here};
use crate::builder::{Workshop, files_of};

#[tokio::test]
async fn what_was_built_is_pushed_and_pulled_by_its_digest() {
    let workshop = Workshop::new(&[("Dockerfile", &files("one"))]);
    let registry = registry_at(&workshop, &host(), None);
    registry.check().await.unwrap();
    let (digest, plan) = pushed(&workshop, &registry, "recipe").await;
    assert!(!workshop.exists().await, "the name of the build stays");
    assert_eq!(push(&workshop, &registry, "recipe").await.unwrap(), digest, "done before we crashed");
    assert_eq!(registry.find(workshop.request.service, "recipe").await.unwrap(), Some(digest.clone()));
    assert_eq!(registry.find(workshop.request.service, "another").await.unwrap(), None);
    let build = build(&workshop, &digest, &plan);
    let image = located(&registry, &workshop, &build).await.unwrap();
    assert!(image.starts_with(&host()) && image.ends_with(&format!("@{digest}")), "{image}");
    // A runtime on another machine has it brought.
    remove_here(&workshop, &image).await;
    let other = registry_at(&workshop, &host(), None);
    assert_eq!(located(&other, &workshop, &build).await.unwrap(), image);
    let (_, files) = files_of(&workshop.engine, &image).await;
    assert!(files["/word"].starts_with(b"one "));
    collect(&registry, &workshop, &[]).await;
}

#[tokio::test]
async fn what_nobody_needs_is_removed_and_then_missing() {
    let mut workshop = Workshop::new(&[("Dockerfile", &files("one"))]);
    let registry = registry_at(&workshop, &host(), None);
    let (first, plan) = pushed(&workshop, &registry, "first").await;
    workshop.next(&[("Dockerfile", &files("two"))]);
    let (second, _) = pushed(&workshop, &registry, "second").await;
    let collected = collect(&registry, &workshop, &[&second]).await;
    assert_eq!((collected.removed, collected.kept), (1, 1));
    let error = located(&registry, &workshop, &build(&workshop, &first, &plan)).await.unwrap_err();
    assert_eq!(error.code, "artifact_missing");
    assert_eq!(registry.find(workshop.request.service, "first").await.unwrap(), None);
    located(&registry, &workshop, &build(&workshop, &second, &plan)).await.unwrap();
    // Nobody removes what has just been pushed.
    let keep = workers::registry::Keep {
        services: [workshop.request.service].into(),
        newer_than: chrono::Utc::now() - chrono::TimeDelta::hours(1),
        ..Default::default()
    };
    assert_eq!(registry.collect(&keep).await.unwrap().removed, 0);
    assert_eq!(collect(&registry, &workshop, &[]).await.removed, 1);
    let labels = vec![format!("dev.switchback.installation={}", workshop.engine.installation)];
    let options = bollard::query_parameters::ListImagesOptionsBuilder::default()
        .filters(&std::collections::HashMap::from([("label", labels)]))
        .build();
    let left = workshop.engine.client.list_images(Some(options)).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_was_not_built_here_is_said_to_be_missing() {
    let workshop = Workshop::new(&[("Dockerfile", &files("one"))]);
    let registry = registry_at(&workshop, &host(), None);
    let error = push(&workshop, &registry, "recipe").await.unwrap_err();
    assert_eq!((error.code, error.permanent), ("build_missing", false));
}

#[tokio::test]
async fn an_image_from_elsewhere_is_pinned_and_run_by_its_digest() {
    let workshop = Workshop::new(&[("Dockerfile", &format!("{}EXPOSE 8080\n", files("one")))]);
    let elsewhere = registry_at(&workshop, &host(), None);
    let (digest, _) = pushed(&workshop, &elsewhere, "recipe").await;
    let repository = format!(
        "{}/test-{}/{}",
        host(),
        workshop.engine.installation.simple(),
        workshop.request.service.0.simple()
    );
    let tag = format!("build-{}", workshop.request.deployment.0.simple());
    let mut other = Workshop::new(&[]);
    let registry = registry_at(&other, &host(), None);
    let reference = format!("{repository}:{tag}");
    remove_here(&workshop, &reference).await;
    other.request.source = Source::Image { reference: reference.parse().unwrap() };
    let plan = other.build().await.unwrap();
    assert_eq!(plan.run.port, Some(8080));
    assert_eq!(push(&other, &registry, "recipe").await.unwrap(), digest);
    let build = build(&other, &digest, &plan);
    assert_eq!(located(&registry, &other, &build).await.unwrap(), format!("{repository}@{digest}"));
    other.request.source = Source::Image { reference: format!("{repository}:absent").parse().unwrap() };
    assert_eq!(other.detect().await.unwrap_err().code, "image_missing");
    collect(&elsewhere, &workshop, &[]).await;
}

#[tokio::test]
async fn an_image_of_the_platforms_own_registry_cannot_be_deployed() {
    let mut workshop =
        Workshop::with(&[], |settings| settings.guarded = vec!["registry.example/services/".into()]);
    for name in ["registry.example/services/other:x", "switchback/build:0190"] {
        workshop.request.source = Source::Image { reference: name.parse().unwrap() };
        assert_eq!(workshop.detect().await.unwrap_err().code, "image_refused", "{name}");
    }
    workshop.builder.clean(workshop.request.deployment).await.unwrap();
}
