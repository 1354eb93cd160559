//! Blobs in files: one file each, named by the digest of its bytes.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::digest::Digest;
use futures::stream::{self, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::blobs::{BlobError, BlobStore, Content, checked};
use crate::error::{BoxError, StoreError};

/// What the name of a file begins with that is not whole yet.
const PART: &str = ".part-";
/// A file that is not whole and that nobody has written to for so long belongs to a process that is gone.
const BROKEN_AFTER: Duration = Duration::from_hours(1);
/// How often it is looked for what is too old or broken.
const SWEPT_EVERY: Duration = Duration::from_hours(1);
/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// Blobs in files. Clones are the same store.
#[derive(Clone, Debug)]
pub struct FileBlobs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    suffix: &'static str,
    age: Option<Duration>,
    swept: Mutex<Option<Instant>>,
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Unavailable { doing, source: BoxError::from(source) }
}

/// An error of writing.
fn unwritten(source: io::Error) -> BlobError {
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return BlobError::Full;
    }
    failed("keep a blob")(source).into()
}

impl FileBlobs {
    /// In a directory, which is made when it is needed. Files are named by the digest and the suffix; those
    /// older than `age` are removed.
    #[must_use]
    pub fn new(dir: &Path, suffix: &'static str, age: Option<Duration>) -> Self {
        let blobs =
            Self { shared: Arc::new(Shared { dir: dir.to_owned(), suffix, age, swept: Mutex::new(None) }) };
        blobs.shared.sweep();
        blobs
    }

    /// Where the bytes of a digest are, when they are there.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.shared.dir.join(format!("{}{}", digest.hex(), self.shared.suffix))
    }

    async fn open(&self, digest: &Digest) -> Result<Option<File>, StoreError> {
        match File::open(self.path(digest)).await {
            Ok(file) => Ok(Some(file)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(failed("read a blob")(err)),
        }
    }
}

impl Shared {
    /// Removes what is too old, and what puts left that a kill broke off; now and then.
    fn sweep(&self) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.is_some_and(|at| at.elapsed() < SWEPT_EVERY) {
            return;
        }
        *swept = Some(Instant::now());
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().filter_map(Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let limit = if name.starts_with(PART) {
                Some(BROKEN_AFTER)
            } else {
                self.age.filter(|_| name.ends_with(self.suffix))
            };
            let age = entry.metadata().and_then(|file| file.modified()).map(|at| at.elapsed());
            if let (Some(limit), Ok(Ok(age))) = (limit, age)
                && age > limit
            {
                // One that stays is tried again the next time.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A file that is not whole yet; removed when it is dropped before it is.
struct Part {
    path: PathBuf,
    is_whole: bool,
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            // What stays is swept later.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl FileBlobs {
    async fn take_in(&self, mut content: Content, bytes_max: u64) -> Result<Digest, BlobError> {
        let dir = self.shared.dir.clone();
        let made = move || std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        tokio::task::spawn_blocking(made)
            .await
            .unwrap_or_else(|err| Err(io::Error::other(err)))
            .map_err(unwritten)?;
        let path = self.shared.dir.join(format!("{PART}{}", Uuid::now_v7().simple()));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = fs::OpenOptions::from(options).open(&path).await.map_err(unwritten)?;
        let mut part = Part { path, is_whole: false };
        let (mut hash, mut length) = (Sha256::new(), 0_u64);
        while let Some(bytes) = content.next().await {
            let bytes = bytes.map_err(BlobError::Interrupted)?;
            length += bytes.len() as u64;
            if length > bytes_max {
                return Err(BlobError::TooLarge(bytes_max));
            }
            hash.update(&bytes);
            file.write_all(&bytes).await.map_err(unwritten)?;
        }
        file.flush().await.map_err(unwritten)?;
        file.sync_all().await.map_err(unwritten)?;
        let digest = Digest::from_sha256(hash.finalize().into());
        fs::rename(&part.path, self.path(&digest)).await.map_err(unwritten)?;
        part.is_whole = true;
        let dir = File::open(&self.shared.dir).await.map_err(unwritten)?;
        dir.sync_all().await.map_err(unwritten)?;
        Ok(digest)
    }
}

#[async_trait]
impl BlobStore for FileBlobs {
    async fn put(&self, content: Content, bytes_max: u64) -> Result<Digest, BlobError> {
        let shared = Arc::clone(&self.shared);
        // What cannot be swept now is swept later.
        let _ = tokio::task::spawn_blocking(move || shared.sweep()).await;
        self.take_in(content, bytes_max).await
    }

    async fn get(&self, digest: &Digest) -> Result<Option<Content>, StoreError> {
        let Some(file) = self.open(digest).await? else { return Ok(None) };
        let content = stream::try_unfold(file, |mut file| async move {
            let mut bytes = BytesMut::with_capacity(CHUNK);
            let read = file.read_buf(&mut bytes).await?;
            Ok((read > 0).then(|| (Bytes::from(bytes), file)))
        });
        Ok(Some(checked(content.boxed(), digest.clone())))
    }

    async fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.open(digest).await?.is_some())
    }

    async fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        match fs::remove_file(self.path(digest)).await {
            Err(err) if err.kind() != io::ErrorKind::NotFound => Err(failed("remove a blob")(err)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn aged(path: &Path, age: Duration) {
        let file = std::fs::File::create(path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn what_is_too_old_or_broken_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for (name, age) in [("a.tar.gz", 3), ("b.tar.gz", 1), (".part-1", 2), (".part-2", 0), ("other", 9)] {
            aged(&dir.path().join(name), hours(age) + Duration::from_secs(5));
        }
        let _blobs = FileBlobs::new(dir.path(), ".tar.gz", Some(hours(2)));
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".part-2", "b.tar.gz", "other"]);
    }
}
