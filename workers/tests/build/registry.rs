//! The registry on this machine: digests, recipes, and directories that stay where they are.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use domain::deployment::step::Step;
use domain::digest::Digest;
use domain::id::{DeploymentId, ServiceId};
use domain::source::Source;
use uuid::Uuid;
use workers::builder::BuildRequest;
use workers::disk::Usage;
use workers::key::StepKey;
use workers::registry::local::{ARTIFACT_MAX, LocalRegistry, marker};
use workers::registry::{Registry, RegistryError};

use crate::files;
use crate::platform::{Platform, located};

struct Pusher {
    platform: Platform,
    registry: LocalRegistry,
    service: ServiceId,
}

impl Pusher {
    fn new(limit: Usage) -> Self {
        let platform = Platform::new();
        let registry = LocalRegistry::new(platform.data.path(), limit);
        Self { registry, platform, service: ServiceId(Uuid::now_v7()) }
    }

    /// A deployment with these files built.
    fn built(&self, tree: &[(&str, &str)]) -> (StepKey, BuildRequest) {
        let deployment = DeploymentId(Uuid::now_v7());
        let directory = self.platform.data.path().join("builds").join(deployment.to_string()).join("app");
        fs::create_dir_all(&directory).expect("made");
        files::write(&directory, tree);
        let request = BuildRequest {
            service: self.service,
            deployment,
            source: Source::Upload { digest: Digest::from_sha256([0; 32]), revision: None },
            revision: None,
            directory,
            variables: BTreeMap::new(),
            fresh: false,
        };
        (StepKey { deployment, ..self.platform.key(Step::Push, 1) }, request)
    }

    async fn push(&self, tree: &[(&str, &str)], recipe: &str) -> Result<(Digest, PathBuf), RegistryError> {
        let (key, request) = self.built(tree);
        let digest = self.registry.push(key, &request, recipe).await?;
        Ok((digest, request.directory))
    }

    fn holds(&self, directory: &std::path::Path) -> bool {
        LocalRegistry::holds(self.platform.data.path(), directory)
    }
}

#[tokio::test]
async fn what_was_pushed_is_found_where_it_was_built() {
    let pusher = Pusher::new(ARTIFACT_MAX);
    let (digest, directory) =
        pusher.push(&[("a", "1"), ("d/b", "2"), ("l", "-> a")], "recipe").await.expect("pushed");
    assert_eq!(located(&pusher.registry, &digest).await.expect("there"), directory);
    assert_eq!(pusher.registry.find(pusher.service, "recipe").await.expect("looked"), Some(digest.clone()));
    assert_eq!(pusher.registry.find(pusher.service, "other").await.expect("looked"), None);
    assert_eq!(pusher.registry.find(ServiceId(Uuid::nil()), "recipe").await.expect("looked"), None);
    assert!(pusher.holds(&directory));
    // Another process, later.
    let again = LocalRegistry::new(pusher.platform.data.path(), ARTIFACT_MAX);
    assert_eq!(located(&again, &digest).await.expect("there"), directory);
}

#[tokio::test]
async fn a_digest_is_of_names_kinds_modes_and_contents_and_of_nothing_else() {
    let pusher = Pusher::new(ARTIFACT_MAX);
    let base: &[(&str, &str)] = &[("a", "1"), ("d/b", "2"), ("l", "-> a")];
    let (digest, _) = pusher.push(base, "r").await.expect("pushed");
    for other in [
        &[("a", "2"), ("d/b", "2"), ("l", "-> a")][..],
        &[("a2", "1"), ("d/b", "2"), ("l", "-> a")],
        &[("a", "1"), ("d/b", "2"), ("l", "-> d")],
        &[("a", "1"), ("d/b", "2"), ("l", "a")],
        &[("a", "1"), ("d/b", "2"), ("l", "-> a"), ("e/", "")],
        &[("a", "1"), ("d/b/", ""), ("l", "-> a")],
    ] {
        assert_ne!(pusher.push(other, "r").await.expect("pushed").0, digest, "{other:?}");
    }
    let (key, request) = pusher.built(base);
    fs::set_permissions(request.directory.join("a"), fs::Permissions::from_mode(0o755)).expect("set");
    assert_ne!(pusher.registry.push(key, &request, "r").await.expect("pushed"), digest);
    let (key, request) = pusher.built(base);
    let old = fs::File::open(request.directory.join("a")).expect("there");
    old.set_modified(std::time::UNIX_EPOCH).expect("set");
    assert_eq!(pusher.registry.push(key, &request, "r").await.expect("pushed"), digest);
}

#[tokio::test]
async fn the_same_files_are_kept_once_and_pushing_twice_is_pushing_once() {
    let pusher = Pusher::new(ARTIFACT_MAX);
    let (digest, first) = pusher.push(&[("a", "1")], "one").await.expect("pushed");
    let (key, request) = pusher.built(&[("a", "1")]);
    for _ in 0..2 {
        assert_eq!(pusher.registry.push(key, &request, "two").await.expect("pushed"), digest);
        assert_eq!(located(&pusher.registry, &digest).await.expect("there"), first);
        assert!(!request.directory.exists() && first.exists());
        assert!(pusher.holds(&first) && !pusher.holds(&request.directory));
    }
    for recipe in ["one", "two"] {
        assert_eq!(pusher.registry.find(pusher.service, recipe).await.expect("looked"), Some(digest.clone()));
    }
}

#[tokio::test]
async fn an_artifact_that_is_gone_is_said_to_be_and_can_be_pushed_again() {
    let pusher = Pusher::new(ARTIFACT_MAX);
    let (digest, directory) = pusher.push(&[("a", "1")], "r").await.expect("pushed");
    fs::remove_dir_all(&directory).expect("removed");
    let error = located(&pusher.registry, &digest).await.expect_err("gone");
    assert_eq!((error.code, error.permanent), ("artifact_missing", true));
    assert_eq!(pusher.registry.find(pusher.service, "r").await.expect("looked"), None);
    let (again, new) = pusher.push(&[("a", "1")], "r").await.expect("pushed");
    assert_eq!((again, located(&pusher.registry, &digest).await.expect("there")), (digest.clone(), new));
    let absent = located(&pusher.registry, &Digest::from_sha256([1; 32])).await.expect_err("never pushed");
    assert_eq!(absent.code, "artifact_missing");
}

#[tokio::test]
async fn a_broken_index_is_as_none_at_all() {
    let pusher = Pusher::new(ARTIFACT_MAX);
    let (key, request) = pusher.built(&[("a", "1")]);
    let digest = pusher.registry.push(key, &request, "r").await.expect("pushed");
    let entry = pusher.platform.data.path().join(format!("artifacts/{}.json", digest.hex()));
    fs::write(&entry, "{").expect("written");
    assert_eq!(located(&pusher.registry, &digest).await.expect_err("broken").code, "artifact_missing");
    fs::write(marker(&request.directory), "").expect("written");
    assert_eq!(pusher.registry.push(key, &request, "r").await.expect("pushed"), digest);
    assert_eq!(located(&pusher.registry, &digest).await.expect("there"), request.directory);
}

#[tokio::test]
async fn an_artifact_at_the_limit_is_taken_and_one_above_is_not() {
    for (bytes, entries, taken) in [(10, 2, true), (9, 2, false), (10, 1, false)] {
        let pusher = Pusher::new(Usage { bytes, entries });
        match pusher.push(&[("a", "12345"), ("b", "12345")], "r").await {
            Ok(_) => assert!(taken, "{bytes} {entries}"),
            Err(error) => assert_eq!((error.code, taken), ("artifact_too_large", false), "{bytes} {entries}"),
        }
    }
}

#[tokio::test]
async fn an_earlier_worker_is_refused() {
    let pusher = Pusher::new(ARTIFACT_MAX);
    let (key, request) = pusher.built(&[("a", "1")]);
    let later = StepKey { fence: key.fence.next(), ..key };
    pusher.registry.push(later, &request, "r").await.expect("pushed");
    assert_eq!(pusher.registry.push(key, &request, "r").await.expect_err("earlier").code, "registry_failed");
}
