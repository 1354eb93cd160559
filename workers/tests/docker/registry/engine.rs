//! Images that stay in the engine.

use workers::builder::docker::Engine;
use workers::registry::Registry;
use workers::registry::engine::EngineRegistry;

use super::{build, collect, files, located, push, pushed};
use crate::builder::Workshop;

fn registry(workshop: &Workshop) -> EngineRegistry {
    let engine = Engine::at(&workshop.engine.url).unwrap();
    EngineRegistry::new(engine, workshop.engine.installation.to_string())
}

#[tokio::test]
async fn an_image_is_kept_found_and_removed() {
    let mut workshop = Workshop::new(&[("Dockerfile", &files("one"))]);
    let registry = registry(&workshop);
    let (first, plan) = pushed(&workshop, &registry, "first").await;
    assert!(!workshop.exists().await);
    assert_eq!(push(&workshop, &registry, "first").await.unwrap(), first, "done before we crashed");
    assert_eq!(registry.find(workshop.request.service, "first").await.unwrap(), Some(first.clone()));
    let located_at = located(&registry, &workshop, &build(&workshop, &first, &plan)).await.unwrap();
    assert_eq!(located_at, first.to_string());
    workshop.next(&[("Dockerfile", &files("two"))]);
    let (second, _) = pushed(&workshop, &registry, "second").await;
    let collected = collect(&registry, &workshop, &[&second]).await;
    assert_eq!((collected.removed, collected.kept), (1, 1));
    let error = located(&registry, &workshop, &build(&workshop, &first, &plan)).await.unwrap_err();
    assert_eq!(error.code, "artifact_missing");
    assert_eq!(registry.find(workshop.request.service, "first").await.unwrap(), None);
    assert_eq!(collect(&registry, &workshop, &[]).await.removed, 1);
}
