//! A tar archive, compressed, in a file without a name: so that its size is known before it is sent, it can
//! be sent again, and nothing is left of it whatever happens.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::client::failure::{Exit, Failure};

/// What a server takes at most, compressed.
const BYTES_MAX: u64 = 500_000_000;

/// A packed source.
#[derive(Debug)]
pub(crate) struct Archive {
    /// Its bytes.
    pub(crate) file: Arc<File>,
    /// How many there are.
    pub(crate) bytes: u64,
}

impl Archive {
    /// Packs what `write` writes.
    ///
    /// # Errors
    /// When it is too large, or cannot be written.
    pub(crate) fn pack<T, E>(
        write: impl FnOnce(&mut GzEncoder<Limited<File>>) -> Result<T, E>,
    ) -> Result<(Self, T), Failure>
    where
        Failure: From<E>,
    {
        Self::pack_at_most(BYTES_MAX, write)
    }

    fn pack_at_most<T, E>(
        most: u64,
        write: impl FnOnce(&mut GzEncoder<Limited<File>>) -> Result<T, E>,
    ) -> Result<(Self, T), Failure>
    where
        Failure: From<E>,
    {
        let broken = |error: io::Error| {
            Failure::new(Exit::Failed, "write a temporary file").because(error.to_string())
        };
        let file = tempfile::tempfile().map_err(broken)?;
        let mut encoder =
            GzEncoder::new(Limited { to: file, left: most, is_full: false }, Compression::fast());
        let written = write(&mut encoder);
        if encoder.get_ref().is_full {
            return Err(Failure::usage(format!("the source has more than {} MB, packed", most / 1_000_000))
                .coded("upload_too_large")
                .try_next("leave out with .gitignore what is not needed to build it"));
        }
        let written = written?;
        let limited = encoder.finish().map_err(broken)?;
        let archive = Self { bytes: most - limited.left, file: Arc::new(limited.to) };
        Ok((archive, written))
    }
}

/// A file that takes so many bytes and no more.
#[derive(Debug)]
pub(crate) struct Limited<W> {
    to: W,
    left: u64,
    is_full: bool,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.to.write(bytes)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(most: u64, bytes: &[u8]) -> Result<Archive, Failure> {
        let packed = Archive::pack_at_most(most, |to| to.write_all(bytes).and_then(|()| to.flush()));
        packed.map(|(archive, ())| archive)
    }

    #[test]
    fn an_archive_knows_its_size() {
        let archive = pack(1_000, b"hello").unwrap();
        assert_eq!(archive.file.metadata().unwrap().len(), archive.bytes);
    }

    #[test]
    fn an_archive_over_the_limit_is_refused() {
        let noise: Vec<u8> =
            (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let failure = pack(1_000, &noise).map(drop).expect_err("too large");
        assert_eq!(failure.code(), Some("upload_too_large"));
    }
}
