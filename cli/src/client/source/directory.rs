//! A directory as it is: its files without those that `.gitignore` names, in an order that is always the
//! same.

use std::fs::{File, FileType, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;
use tar::{Builder, EntryType, Header};

use crate::client::failure::{Exit, Failure};

/// Why a directory cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// There is nothing in it, or nothing that is not ignored.
    #[error("there are no files in {}", .0.display())]
    Empty(PathBuf),
    /// A part of it cannot be listed.
    #[error("list the files of {}", directory.display())]
    List {
        /// Which directory.
        directory: PathBuf,
        /// Why not.
        source: ignore::Error,
    },
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file became shorter.
    #[error("{} changed while it was packed", .0.display())]
    Changed(PathBuf),
    /// The archive cannot be written.
    #[error("pack the directory")]
    Write(#[source] io::Error),
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        match &error {
            DirectoryError::Empty(_) => Self::of(Exit::Usage, &error)
                .try_next("name another directory; what .gitignore names is left out"),
            DirectoryError::Changed(_) => Self::of(Exit::Failed, &error).try_next("try again"),
            DirectoryError::List { .. } | DirectoryError::Read { .. } | DirectoryError::Write(_) => {
                Self::of(Exit::Failed, &error)
            }
        }
    }
}

/// Writes the directory as a tar archive. Links stay links, files keep their mode and time; owners are left
/// out. Answers with what could not be taken along: sockets, pipes and devices.
///
/// # Errors
/// [`DirectoryError`].
pub(crate) fn archive(directory: &Path, to: impl Write) -> Result<Vec<PathBuf>, DirectoryError> {
    let mut archive = Builder::new(to);
    let mut left_out = Vec::new();
    let mut files = 0;
    let walk = WalkBuilder::new(directory)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(false)
        .parents(false)
        .require_git(false)
        .follow_links(false)
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git")
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .build();
    for entry in walk {
        let list = |source| DirectoryError::List { directory: directory.to_owned(), source };
        let entry = entry.map_err(list)?;
        let Ok(name) = entry.path().strip_prefix(directory) else { continue };
        if name.as_os_str().is_empty() {
            continue;
        }
        let metadata = entry.metadata().map_err(list)?;
        if is_special(metadata.file_type()) {
            left_out.push(name.to_owned());
            continue;
        }
        files += usize::from(!metadata.is_dir());
        append(&mut archive, entry.path(), name, &metadata)?;
    }
    if files == 0 {
        return Err(DirectoryError::Empty(directory.to_owned()));
    }
    archive.into_inner().and_then(|mut to| to.flush()).map_err(DirectoryError::Write)?;
    Ok(left_out)
}

fn is_special(kind: FileType) -> bool {
    kind.is_socket() || kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
}

fn append(
    archive: &mut Builder<impl Write>,
    path: &Path,
    name: &Path,
    metadata: &Metadata,
) -> Result<(), DirectoryError> {
    let read = |source| DirectoryError::Read { path: path.to_owned(), source };
    let mut header = Header::new_gnu();
    header.set_mode(metadata.permissions().mode() & 0o777);
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    header.set_size(0);
    if metadata.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        let target = std::fs::read_link(path).map_err(read)?;
        return archive.append_link(&mut header, name, target).map_err(DirectoryError::Write);
    }
    if metadata.is_dir() {
        header.set_entry_type(EntryType::Directory);
        return archive.append_data(&mut header, name, io::empty()).map_err(DirectoryError::Write);
    }
    let file = File::open(path).map_err(read)?;
    // The archive has the size before the bytes: it must be that of the file that was opened, and stay so.
    let size = file.metadata().map_err(read)?.len();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    let mut bytes = Exactly { file: file.take(size), error: None };
    archive.append_data(&mut header, name, &mut bytes).map_err(DirectoryError::Write)?;
    if let Some(source) = bytes.error {
        return Err(read(source));
    }
    if bytes.file.limit() > 0 { Err(DirectoryError::Changed(path.to_owned())) } else { Ok(()) }
}

/// A file's bytes, with an error of reading kept apart from one of writing.
struct Exactly {
    file: io::Take<File>,
    error: Option<io::Error>,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).or_else(|error| {
            self.error = Some(error);
            Ok(0)
        })
    }
}
