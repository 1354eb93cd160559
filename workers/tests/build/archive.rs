//! Uploads: what is kept, what is unpacked, and what is refused.

mod hostile;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use bytes::Bytes;
use domain::deployment::step::Step;
use domain::digest::Digest;
use domain::source::Source as Origin;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream;
use tokio_util::sync::CancellationToken;
use workers::disk::{Reserve, Usage};
use workers::source::archive::{ArchiveSource, UploadError, UploadStore};
use workers::source::git::{GitSource, Settings};
use workers::source::{Source, SourceError, Sources};

use crate::files;
use crate::platform::{Platform, environment};

const NONE: Reserve = Reserve { bytes: 0, percent: 0 };

/// A platform that unpacks.
struct Unpacker {
    platform: Platform,
    store: UploadStore,
    sources: Sources,
}

impl Unpacker {
    fn new() -> Self {
        Self::with(Usage { bytes: 10 << 20, entries: 100 })
    }

    fn with(files: Usage) -> Self {
        let platform = Platform::new();
        let store = UploadStore::new(platform.data.path(), 1 << 20, NONE);
        let git = Settings::new(platform.data.path(), &environment());
        let git = GitSource::new(git, platform.supervisor.clone());
        let sources = Sources::new(git, ArchiveSource::new(store.clone(), files, NONE));
        Self { platform, store, sources }
    }

    /// Where an upload is.
    fn path(&self, digest: &Digest) -> PathBuf {
        self.platform.data.path().join("uploads").join(format!("{}.tar.gz", digest.hex()))
    }

    async fn receive(&self, bytes: &[u8]) -> Result<Digest, UploadError> {
        let chunks: Vec<_> =
            bytes.chunks(1000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec().into())).collect();
        self.store.receive(stream::iter(chunks)).await
    }

    async fn fetch(&self, digest: &Digest, fence: u32) -> Result<Vec<String>, SourceError> {
        let origin = Origin::Upload { digest: digest.clone(), revision: None };
        let (output, cancel) = (self.platform.output(), CancellationToken::new());
        let key = self.platform.key(Step::Fetch, fence);
        let into = self.platform.workspace();
        let fetched = self.sources.fetch(key, &origin, None, &into, &output, &cancel).await;
        fetched.map(|_| files::listing(&into))
    }

    /// Takes an archive in, and unpacks it.
    async fn unpack(&self, archive: &[u8]) -> Result<Vec<String>, SourceError> {
        let digest = self.receive(archive).await.expect("received");
        self.fetch(&digest, 1).await
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

/// An archive such as the command line makes.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let directory = files::tree(files);
    let mut builder = tar::Builder::new(vec![]);
    builder.follow_symlinks(false);
    builder.append_dir_all(".", directory.path()).expect("into memory");
    gzip(&builder.into_inner().expect("into memory"))
}

#[tokio::test]
async fn an_upload_is_kept_under_its_digest_and_unpacked() {
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let bytes =
        archive(&[("a/b", "1"), ("run.sh", "#!/bin/sh"), ("link", "-> a/b"), (&long, "2"), ("empty/", "")]);
    let unpacker = Unpacker::new();
    let digest = unpacker.receive(&bytes).await.expect("received");
    assert_eq!(unpacker.receive(&bytes).await.expect("the same"), digest);
    assert_eq!(fs::read(unpacker.path(&digest)).expect("kept"), bytes);
    assert_eq!(fs::read_dir(unpacker.platform.data.path().join("uploads")).expect("there").count(), 1);
    let files = unpacker.fetch(&digest, 1).await.expect("unpacked");
    assert_eq!(files, ["a/b=1", &format!("{long}=2"), "link->a/b", "run.sh=#!/bin/sh"]);
    let workspace = unpacker.platform.workspace();
    let mode = |name: &str| fs::metadata(workspace.join(name)).expect("there").permissions().mode() & 0o7777;
    assert_eq!((mode("run.sh"), mode("a/b") & 0o600), (0o755, 0o600));
    assert!(workspace.join("empty").is_dir());
}

#[tokio::test]
async fn a_second_unpacking_replaces_what_was_there_and_an_earlier_worker_is_refused() {
    let unpacker = Unpacker::new();
    let digest = unpacker.receive(&archive(&[("a", "1")])).await.expect("received");
    unpacker.fetch(&digest, 1).await.expect("unpacked");
    fs::write(unpacker.platform.workspace().join("left"), "").expect("written");
    assert_eq!(unpacker.fetch(&digest, 2).await.expect("unpacked"), ["a=1"]);
    unpacker.fetch(&digest, 1).await.expect_err("an earlier worker");
    assert!(unpacker.platform.workspace().join("a").exists());
}

#[tokio::test]
async fn an_upload_at_the_limit_is_kept_and_one_above_is_not() {
    let unpacker = Unpacker::new();
    let mut bytes = gzip(b"");
    bytes.resize(1 << 20, 0);
    unpacker.receive(&bytes).await.expect("at the limit");
    bytes.push(0);
    let error = unpacker.receive(&bytes).await.expect_err("above");
    assert_eq!(error.code(), "upload_too_large");
    assert!(error.to_string().contains("more than 1 MiB"), "{error}");
    assert_eq!(fs::read_dir(unpacker.platform.data.path().join("uploads")).expect("there").count(), 1);
}

#[tokio::test]
async fn what_is_no_archive_breaks_off_or_finds_no_room_is_not_kept() {
    let unpacker = Unpacker::new();
    for bytes in [&b""[..], b"\x1f", b"PK\x03\x04", b"<html>"] {
        assert_eq!(unpacker.receive(bytes).await.expect_err("no gzip").code(), "upload_invalid");
    }
    let chunks = [Ok(Bytes::from_static(&[0x1f, 0x8b])), Err(std::io::Error::other("gone"))];
    let error = unpacker.store.receive(stream::iter(chunks)).await.expect_err("broken off");
    assert_eq!(error.code(), "upload_interrupted");
    assert_eq!(fs::read_dir(unpacker.platform.data.path().join("uploads")).expect("there").count(), 0);
    let full = UploadStore::new(unpacker.platform.data.path(), 1, Reserve { bytes: u64::MAX, percent: 0 });
    let none: [Result<Bytes, std::io::Error>; 0] = [];
    assert_eq!(full.receive(stream::iter(none)).await.expect_err("full").code(), "disk_full");
}

#[tokio::test]
async fn an_upload_that_is_gone_or_changed_is_named() {
    let unpacker = Unpacker::new();
    let absent = Digest::from_sha256([7; 32]);
    let error = unpacker.fetch(&absent, 1).await.expect_err("gone");
    assert_eq!((error.code, error.permanent), ("upload_not_found", true));
    let digest = unpacker.receive(&archive(&[("a", "1")])).await.expect("received");
    fs::write(unpacker.path(&digest), archive(&[("a", "2")])).expect("changed");
    let error = unpacker.fetch(&digest, 2).await.expect_err("changed");
    assert_eq!(error.code, "upload_invalid");
    assert!(error.message.contains("not what it was"), "{error}");
    assert!(!unpacker.platform.workspace().exists());
}
