//! The files of a deployment, read without ever leaving its directory.
//!
//! A repository may contain links to `/etc/shadow`, FIFOs and files without end. The kernel resolves every
//! path beneath the directory (`openat2`), only plain files are read, and none further than [`MAX_READ`].

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};

/// How much of a file is read; a larger one counts as absent, because what is looked at here never is.
pub(crate) const MAX_READ: u64 = 1024 * 1024;
/// How many names of a directory are looked at.
pub(crate) const MAX_NAMES: usize = 2_000;

/// A directory of a deployment.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// The name.
    pub(crate) name: String,
    /// Whether it is a directory itself. A link is none.
    pub(crate) directory: bool,
}

impl Tree {
    /// The files of a directory.
    ///
    /// # Errors
    /// When it is no directory, or the kernel is older than 5.6 and cannot keep to one.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(directory, flags, Mode::empty())?;
        let tree = Self { root };
        tree.beneath(".", flags)?;
        Ok(tree)
    }

    /// A directory within it; none when there is none of that name.
    #[must_use]
    pub(crate) fn within(&self, path: &str) -> Option<Self> {
        if path.is_empty() {
            return self.root.try_clone().ok().map(|root| Self { root });
        }
        let root = self.beneath(path, OFlags::PATH | OFlags::DIRECTORY).ok()?;
        Some(Self { root })
    }

    /// The text of a file; none when it is not there, no plain file, too large, or outside.
    #[must_use]
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        // Without NONBLOCK, opening a FIFO would wait for someone to write into it.
        let file = File::from(self.beneath(path, OFlags::RDONLY | OFlags::NONBLOCK).ok()?);
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() > MAX_READ {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(MAX_READ).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether there is a plain file of that name.
    #[must_use]
    pub(crate) fn has(&self, path: &str) -> bool {
        self.kind(path) == Some(FileType::RegularFile)
    }

    /// Whether there is a directory of that name.
    #[must_use]
    pub(crate) fn has_directory(&self, path: &str) -> bool {
        self.kind(path) == Some(FileType::Directory)
    }

    /// The first of these files that is there.
    #[must_use]
    pub(crate) fn first<'a>(&self, paths: &[&'a str]) -> Option<&'a str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// The names in a directory, in their order; empty when it is not there.
    #[must_use]
    pub(crate) fn names(&self, directory: &str) -> Vec<Name> {
        let path = if directory.is_empty() { "." } else { directory };
        let Ok(opened) = self.beneath(path, OFlags::RDONLY | OFlags::DIRECTORY) else { return vec![] };
        let Ok(entries) = Dir::read_from(&opened) else { return vec![] };
        let mut names: Vec<_> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let name = entry.file_name().to_str().ok()?.to_owned();
                let directory = match entry.file_type() {
                    FileType::Directory => true,
                    FileType::Unknown => self.has_directory(&format!("{path}/{name}")),
                    FileType::RegularFile
                    | FileType::Symlink
                    | FileType::Fifo
                    | FileType::Socket
                    | FileType::CharacterDevice
                    | FileType::BlockDevice => false,
                };
                (name != "." && name != "..").then_some(Name { name, directory })
            })
            .take(MAX_NAMES)
            .collect();
        names.sort();
        names
    }

    /// Whether a link leads out of the tree, at any step of its way. One that leads nowhere does not.
    #[must_use]
    pub(crate) fn leads_out(&self, link: &Path) -> bool {
        matches!(self.beneath(link, OFlags::PATH), Err(rustix::io::Errno::XDEV))
    }

    fn kind(&self, path: &str) -> Option<FileType> {
        let file = self.beneath(path, OFlags::PATH).ok()?;
        let status = rustix::fs::fstat(&file).ok()?;
        Some(FileType::from_raw_mode(status.st_mode))
    }

    fn beneath(&self, path: impl AsRef<Path>, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(self.root.as_fd(), path.as_ref(), flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_inside_is_read_and_so_is_one_by_a_link_that_stays_inside() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(directory.path().join("a")).expect("made");
        std::fs::write(directory.path().join("a/x"), "inside").expect("written");
        symlink("a/x", directory.path().join("link")).expect("linked");
        let tree = Tree::open(directory.path()).expect("opened");
        assert_eq!(tree.text("a/x").as_deref(), Some("inside"));
        assert_eq!(tree.text("link").as_deref(), Some("inside"));
        assert!(tree.has("link") && tree.has_directory("a") && !tree.has("a"));
        assert_eq!(tree.within("a").expect("there").text("x").as_deref(), Some("inside"));
        let names: Vec<_> = tree.names("").into_iter().map(|name| (name.name, name.directory)).collect();
        assert_eq!(names, [("a".to_owned(), true), ("link".to_owned(), false)]);
    }

    #[test]
    fn nothing_outside_is_reached() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("inside");
        std::fs::create_dir(&inside).expect("made");
        std::fs::write(directory.path().join("secret"), "outside").expect("written");
        symlink("../secret", inside.join("up")).expect("linked");
        symlink("/etc/passwd", inside.join("absolute")).expect("linked");
        symlink("..", inside.join("directory")).expect("linked");
        symlink("/proc/self/root", inside.join("magic")).expect("linked");
        symlink("loop", inside.join("loop")).expect("linked");
        let tree = Tree::open(&inside).expect("opened");
        for path in
            ["up", "absolute", "directory/secret", "magic/etc/passwd", "loop", "../secret", "/etc/passwd"]
        {
            assert_eq!(tree.text(path), None, "{path}");
            assert!(!tree.has(path), "{path}");
        }
        assert!(tree.within("directory").is_none() && tree.within("..").is_none());
        assert!(tree.names("directory").is_empty());
    }

    #[test]
    fn a_fifo_and_a_file_over_the_limit_count_as_absent() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).expect("made");
        for (name, size) in [("at", MAX_READ), ("over", MAX_READ + 1)] {
            File::create(directory.path().join(name)).expect("made").set_len(size).expect("stretched");
        }
        let tree = Tree::open(directory.path()).expect("opened");
        assert_eq!(tree.text("fifo"), None);
        assert_eq!(tree.text("at").map(|text| text.len() as u64), Some(MAX_READ));
        assert_eq!(tree.text("over"), None);
    }
}
