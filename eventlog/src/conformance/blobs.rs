//! What every store of blobs promises.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use domain::digest::Digest;
use futures::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};

use crate::blobs::{BlobError, Content, SharedBlobs};

/// A store to be tried, empty at first.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store.
    fn blobs(&self) -> SharedBlobs;

    /// Ends every process that has the store open, as far as the adapter can have it, and opens it again.
    async fn reopen(&mut self);

    /// How many things are kept, whole or not.
    async fn kept(&self) -> usize;

    /// Changes a byte of what is kept under a digest, or loses a piece of it.
    async fn damage(&self, digest: &Digest);
}

/// Makes a test of each case, for the fixture that the expression gives (it may await).
#[macro_export]
macro_rules! blobs_suite {
    ($fixture:expr) => {
        $crate::cases!(
            blobs,
            $fixture,
            what_was_put_is_got_whole,
            a_blob_that_nobody_put_is_not_there,
            the_same_bytes_are_kept_once,
            a_removed_blob_is_gone_and_can_be_put_again,
            a_blob_that_is_too_large_is_refused_and_nothing_of_it_kept,
            a_blob_that_breaks_off_is_not_kept,
            a_put_that_is_dropped_keeps_nothing,
            bytes_that_were_changed_are_an_error_at_their_end
        );
    };
}

const MAX: u64 = 10_000_000;
const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

fn bytes(length: usize) -> Vec<u8> {
    // No two pieces are alike.
    (0..length).map(|at| (at * 31 + at / 251 + at / 65_536) as u8).collect()
}

fn content(bytes: &[u8]) -> Content {
    let chunks: Vec<_> = bytes.chunks(70_001).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    stream::iter(chunks).boxed()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}

async fn read(content: Content) -> io::Result<Vec<u8>> {
    let chunks: Vec<io::Result<Bytes>> = content.collect().await;
    Ok(chunks.into_iter().collect::<io::Result<Vec<_>>>()?.concat())
}

async fn until_kept(fixture: &impl Fixture, count: usize) {
    let settled = async {
        while fixture.kept().await != count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, settled).await.expect("something else is kept");
}

/// Of any length, also after a restart.
pub async fn what_was_put_is_got_whole(mut fixture: impl Fixture) {
    let lengths = [0, 1, 131_071, 131_072, 131_073, 5_000_000];
    for length in lengths {
        let bytes = bytes(length);
        assert_eq!(fixture.blobs().put(content(&bytes), MAX).await.unwrap(), digest(&bytes));
    }
    fixture.reopen().await;
    for length in lengths {
        let bytes = bytes(length);
        assert!(fixture.blobs().contains(&digest(&bytes)).await.unwrap());
        let found = fixture.blobs().get(&digest(&bytes)).await.unwrap().expect("there");
        assert!(read(found).await.unwrap() == bytes, "{length}");
    }
}

/// Whatever else is.
pub async fn a_blob_that_nobody_put_is_not_there(fixture: impl Fixture) {
    let blobs = fixture.blobs();
    blobs.put(content(b"here"), MAX).await.unwrap();
    let absent = digest(b"not here");
    assert!(blobs.get(&absent).await.unwrap().is_none());
    assert!(!blobs.contains(&absent).await.unwrap());
    blobs.remove(&absent).await.unwrap();
}

/// Also when they come at once.
pub async fn the_same_bytes_are_kept_once(fixture: impl Fixture) {
    let all = bytes(400_000);
    let puts: Vec<_> = (0..4)
        .map(|_| {
            let (blobs, content) = (fixture.blobs(), content(&all));
            tokio::spawn(async move { blobs.put(content, MAX).await.unwrap() })
        })
        .collect();
    for put in puts {
        assert_eq!(put.await.unwrap(), digest(&all));
    }
    fixture.blobs().put(content(&all), MAX).await.unwrap();
    let found = fixture.blobs().get(&digest(&all)).await.unwrap().expect("there");
    assert!(read(found).await.unwrap() == all);
}

/// And removing it twice is fine.
pub async fn a_removed_blob_is_gone_and_can_be_put_again(fixture: impl Fixture) {
    let (blobs, all) = (fixture.blobs(), bytes(300_000));
    for _ in 0..2 {
        blobs.put(content(&all), MAX).await.unwrap();
        assert!(read(blobs.get(&digest(&all)).await.unwrap().expect("there")).await.unwrap() == all);
        blobs.remove(&digest(&all)).await.unwrap();
        blobs.remove(&digest(&all)).await.unwrap();
        assert!(blobs.get(&digest(&all)).await.unwrap().is_none());
        assert!(!blobs.contains(&digest(&all)).await.unwrap());
    }
    until_kept(&fixture, 0).await;
}

/// At exactly its limit it is taken.
pub async fn a_blob_that_is_too_large_is_refused_and_nothing_of_it_kept(fixture: impl Fixture) {
    let (blobs, all) = (fixture.blobs(), bytes(300_000));
    let refused = blobs.put(content(&all), 299_999).await.unwrap_err();
    assert!(matches!(refused, BlobError::TooLarge(299_999)), "{refused:?}");
    assert!(!blobs.contains(&digest(&all)).await.unwrap());
    until_kept(&fixture, 0).await;
    blobs.put(content(&all), 300_000).await.unwrap();
}

/// Its sender went away.
pub async fn a_blob_that_breaks_off_is_not_kept(fixture: impl Fixture) {
    let (blobs, all) = (fixture.blobs(), bytes(300_000));
    let broken = content(&all).chain(stream::iter([Err(io::Error::other("gone"))])).boxed();
    let refused = blobs.put(broken, MAX).await.unwrap_err();
    assert!(matches!(refused, BlobError::Interrupted(_)), "{refused:?}");
    assert!(!blobs.contains(&digest(&all)).await.unwrap());
    until_kept(&fixture, 0).await;
}

/// As when the request is over.
pub async fn a_put_that_is_dropped_keeps_nothing(fixture: impl Fixture) {
    let (blobs, all) = (fixture.blobs(), bytes(300_000));
    let endless = content(&all).chain(stream::pending()).boxed();
    let put = tokio::spawn(async move { blobs.put(endless, MAX).await });
    until_kept(&fixture, 1).await;
    put.abort();
    until_kept(&fixture, 0).await;
}

/// Whoever reads it does not take it for good.
pub async fn bytes_that_were_changed_are_an_error_at_their_end(fixture: impl Fixture) {
    let (blobs, all) = (fixture.blobs(), bytes(300_000));
    let digest = blobs.put(content(&all), MAX).await.unwrap();
    fixture.damage(&digest).await;
    let found = blobs.get(&digest).await.unwrap().expect("there");
    let refused = read(found).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{refused:?}");
}
