//! Blobs in an object store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::digest::Digest;
use eventlog::blobs::{BlobError, BlobStore as _, SharedBlobs};
use eventlog::conformance;
use eventlog::jetstream::{JetStreamBlobs, Retention, Settings};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::nats::{self, Cleanup, one_server};

pub(crate) struct Blobs {
    blobs: JetStreamBlobs,
    settings: Settings,
    _cleanup: Cleanup,
}

impl Blobs {
    pub(crate) async fn new(settings: Settings) -> Self {
        let blobs = JetStreamBlobs::connect(&settings, Retention::UPLOADS).await.unwrap();
        let cleanup = Cleanup(settings.clone());
        Self { blobs, settings, _cleanup: cleanup }
    }

    async fn stream(&self) -> async_nats::jetstream::stream::Stream {
        let context = nats::context(&self.settings).await;
        let name = format!("OBJ_{}", nats::stream(&self.settings, "UPLOADS"));
        context.get_stream(name).await.unwrap()
    }

    fn pieces(&self) -> String {
        format!("$O.{}.C.*", nats::stream(&self.settings, "UPLOADS"))
    }
}

#[async_trait]
impl conformance::blobs::Fixture for Blobs {
    fn blobs(&self) -> SharedBlobs {
        Arc::new(self.blobs.clone())
    }

    async fn reopen(&mut self) {
        self.blobs = JetStreamBlobs::connect(&self.settings, Retention::UPLOADS).await.unwrap();
    }

    async fn kept(&self) -> usize {
        let found = self.stream().await.info_with_subjects(self.pieces()).await.unwrap();
        found.try_collect::<Vec<_>>().await.unwrap().len()
    }

    /// A message cannot be changed, so one is taken out.
    async fn damage(&self, _: &Digest) {
        let stream = self.stream().await;
        let piece = stream.get_last_raw_message_by_subject(&self.pieces()).await.unwrap();
        stream.delete_message(piece.sequence - 1).await.unwrap();
    }
}

/// A process that was killed in the middle has left pieces; one that goes on is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_put_left_is_removed_when_nothing_came_for_a_while() {
    let fixture = Blobs::new(one_server()).await;
    let blobs = &fixture.blobs;
    let whole = stream::iter([Ok(Bytes::from_static(b"whole"))]).boxed();
    let whole = blobs.put(whole, 100).await.unwrap();
    let context = nats::context(&fixture.settings).await;
    let bucket = nats::stream(&fixture.settings, "UPLOADS");
    let piece = async |id: &str| {
        context.publish(format!("$O.{bucket}.C.{id}"), "piece".into()).await.unwrap().await.unwrap();
    };
    piece("killed").await;
    piece("slow").await;
    blobs.sweep(Duration::ZERO).await.unwrap();
    piece("slow").await;
    blobs.sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(conformance::blobs::Fixture::kept(&fixture).await, 3);
    piece("slow").await;
    // Its time begins anew with each piece; without any time, both are removed.
    blobs.sweep(Duration::ZERO).await.unwrap();
    blobs.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(conformance::blobs::Fixture::kept(&fixture).await, 1);
    assert!(blobs.contains(&whole).await.unwrap());
}

/// An upload that has begun is not cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_refuses_and_says_so() {
    let settings = one_server();
    let _cleanup = Cleanup(settings.clone());
    let small = Retention { bytes: 400_000, ..Retention::UPLOADS };
    let blobs = JetStreamBlobs::connect(&settings, small).await.unwrap();
    let put = async |byte: u8| {
        let content = stream::iter([Ok(Bytes::from(vec![byte; 390_000]))]).boxed();
        blobs.put(content, 1_000_000).await
    };
    put(1).await.unwrap();
    let second = put(2).await.unwrap();
    let refused = put(3).await.unwrap_err();
    assert!(matches!(refused, BlobError::Full), "{refused:?}");
    blobs.remove(&second).await.unwrap();
    put(3).await.unwrap();
}
