//! The context of a build: the files of the service as one archive, without ever leaving their directory.
//!
//! Links go in as links, unless they lead out; sockets, devices and FIFOs do not go in at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::builder::docker::ignored::Ignored;
use crate::builder::tree::Tree;
use crate::disk::{Size, Usage};

/// How deep directories may be.
const DEPTH_MAX: usize = 100;

/// What goes into a context.
#[derive(Clone, Debug)]
pub(super) struct Context {
    /// The directory whose files go in.
    pub(super) directory: PathBuf,
    /// Where they are in the archive; empty for its top, otherwise with a slash at its end.
    pub(super) prefix: String,
    /// What is left out.
    pub(super) ignored: Ignored,
    /// Names at the top that are left out too.
    pub(super) without: Vec<&'static str>,
    /// Files that are put in with this content, whatever is in the directory.
    pub(super) given: Vec<(String, Vec<u8>)>,
    /// Paths in the directory that go in once more, below this prefix.
    pub(super) first: Option<(String, Vec<String>)>,
    /// How much may go in.
    pub(super) limit: Usage,
}

/// Why there is no context.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    /// Too much.
    #[error("more than {} or {} files", Size(.0.bytes), .0.entries)]
    TooLarge(Usage),
    /// Unreadable, or nobody takes it.
    #[error("archive of the files")]
    Io(#[from] io::Error),
}

/// What went in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Links that were left out because they lead out of the directory.
    pub(super) links_left_out: Vec<String>,
}

struct Writer<'a, W: Write> {
    context: &'a Context,
    tree: Tree,
    archive: Builder<W>,
    used: Usage,
    written: Written,
}

impl Context {
    /// Writes the archive.
    pub(super) fn write(&self, into: impl Write) -> Result<Written, ContextError> {
        let tree = Tree::open(&self.directory)?;
        let used = Usage { bytes: 0, entries: 0 };
        let archive = Builder::new(into);
        let mut writer = Writer { context: self, tree, archive, used, written: Written::default() };
        for (name, content) in &self.given {
            writer.given(name, content)?;
        }
        if let Some((prefix, paths)) = &self.first {
            writer.first(prefix, paths)?;
        }
        if !self.prefix.is_empty() {
            writer.directory(&self.prefix)?;
        }
        writer.walk(Path::new(""), 0)?;
        writer.archive.finish()?;
        Ok(writer.written)
    }
}

impl<W: Write> Writer<'_, W> {
    fn count(&mut self, bytes: u64) -> Result<(), ContextError> {
        self.used.bytes += bytes;
        self.used.entries += 1;
        let limit = self.context.limit;
        if self.used.bytes > limit.bytes || self.used.entries > limit.entries {
            return Err(ContextError::TooLarge(limit));
        }
        Ok(())
    }

    fn given(&mut self, name: &str, content: &[u8]) -> Result<(), ContextError> {
        self.count(content.len() as u64)?;
        let mut header = header(EntryType::Regular, 0o644, content.len() as u64);
        Ok(self.archive.append_data(&mut header, name, content)?)
    }

    /// A few files ahead of the others, in the places that they have.
    fn first(&mut self, prefix: &str, paths: &[String]) -> Result<(), ContextError> {
        self.directory(prefix)?;
        for path in paths {
            if let Some(text) = self.tree.text(path) {
                self.given(&format!("{prefix}{path}"), text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn directory(&mut self, name: &str) -> Result<(), ContextError> {
        self.count(0)?;
        let mut header = header(EntryType::Directory, 0o755, 0);
        Ok(self.archive.append_data(&mut header, name, io::empty())?)
    }

    fn walk(&mut self, within: &Path, depth: usize) -> Result<(), ContextError> {
        if depth > DEPTH_MAX {
            return Err(ContextError::TooLarge(self.context.limit));
        }
        let mut names: Vec<_> =
            fs::read_dir(self.context.directory.join(within))?.collect::<io::Result<Vec<_>>>()?;
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            let path = within.join(entry.file_name());
            let Some(text) = path.to_str() else { continue }; // Docker's own names are UTF-8, too.
            let left_out = depth == 0 && self.context.without.contains(&text);
            let is_given =
                self.context.prefix.is_empty() && self.context.given.iter().any(|(name, _)| name == text);
            if left_out || is_given {
                continue;
            }
            self.entry(&path, text, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, text: &str, depth: usize) -> Result<(), ContextError> {
        let full = self.context.directory.join(path);
        let metadata = fs::symlink_metadata(&full)?;
        let ignored = self.context.ignored.leaves_out(text);
        let name = format!("{}{text}", self.context.prefix);
        if metadata.is_dir() {
            if ignored && !self.context.ignored.may_bring_back() {
                return Ok(());
            }
            if !ignored {
                self.directory(&format!("{name}/"))?;
            }
            return self.walk(path, depth + 1);
        }
        if ignored {
            return Ok(());
        }
        if metadata.is_symlink() {
            return self.link(path, &full, &name);
        }
        if metadata.is_file() {
            self.count(metadata.len())?;
            self.file(&full, &name, &metadata)?;
        }
        Ok(())
    }

    /// A file that shrinks while it is read is filled up with zeros: the header has promised its length.
    fn file(&mut self, full: &Path, name: &str, metadata: &fs::Metadata) -> Result<(), ContextError> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut header = header(EntryType::Regular, mode, metadata.len());
        header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or_default());
        let content = File::open(full)?.chain(io::repeat(0)).take(metadata.len());
        Ok(self.archive.append_data(&mut header, name, content)?)
    }

    fn link(&mut self, path: &Path, full: &Path, name: &str) -> Result<(), ContextError> {
        let target = fs::read_link(full)?;
        if target.is_absolute() || self.tree.leads_out(path) {
            self.written.links_left_out.push(path.display().to_string());
            return Ok(());
        }
        self.count(0)?;
        let mut header = header(EntryType::Symlink, 0o777, 0);
        Ok(self.archive.append_link(&mut header, name, target)?)
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    use super::*;

    const LIMIT: Usage = Usage { bytes: 1 << 20, entries: 100 };

    fn context(directory: &Path) -> Context {
        Context {
            directory: directory.to_owned(),
            prefix: String::new(),
            ignored: Ignored::parse("out\n**/*.log\n!keep.log"),
            without: vec![".git"],
            given: vec![("Dockerfile".into(), b"FROM scratch".to_vec())],
            first: None,
            limit: LIMIT,
        }
    }

    fn content(context: &Context) -> (Written, BTreeMap<String, String>) {
        let mut bytes = vec![];
        let written = context.write(&mut bytes).expect("written");
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = BTreeMap::new();
        for entry in archive.entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let mut text = String::new();
            entry.read_to_string(&mut text).expect("text");
            entries.insert(entry.path().expect("a path").display().to_string(), text);
        }
        (written, entries)
    }

    #[test]
    fn files_go_in_and_nothing_from_outside() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = directory.path().join("app");
        fs::create_dir_all(inside.join("src")).expect("made");
        fs::create_dir_all(inside.join("out")).expect("made");
        fs::create_dir_all(inside.join(".git")).expect("made");
        fs::write(directory.path().join("secret"), "outside").expect("written");
        for (name, text) in
            [("src/a", "A"), ("src/x.log", "no"), ("keep.log", "yes"), ("out/x", "no"), (".git/x", "no")]
        {
            fs::write(inside.join(name), text).expect("written");
        }
        fs::write(inside.join("Dockerfile"), "another").expect("written");
        symlink("src/a", inside.join("good")).expect("linked");
        symlink("../secret", inside.join("up")).expect("linked");
        symlink("/etc/passwd", inside.join("absolute")).expect("linked");
        let fifo = inside.join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .expect("made");
        let (written, entries) = content(&context(&inside));
        let names: Vec<_> = entries.keys().map(String::as_str).collect();
        assert_eq!(names, ["Dockerfile", "good", "keep.log", "src/", "src/a"]);
        assert_eq!(entries["Dockerfile"], "FROM scratch");
        assert_eq!(written.links_left_out, ["absolute", "up"]);
    }

    #[test]
    fn a_prefix_moves_the_files_and_some_go_first() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("package.json"), "{}").expect("written");
        let mut context = context(directory.path());
        context.prefix = "files/".into();
        context.first = Some(("first/".into(), vec!["package.json".into(), "absent".into()]));
        let (_, entries) = content(&context);
        let names: Vec<_> = entries.keys().map(String::as_str).collect();
        assert_eq!(names, ["Dockerfile", "files/", "files/package.json", "first/", "first/package.json"]);
    }

    #[test]
    fn the_limit_holds_at_its_edge() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("a"), vec![0; 100]).expect("written");
        let mut context = context(directory.path());
        context.given.clear();
        context.limit = Usage { bytes: 100, entries: 1 };
        assert!(context.write(io::sink()).is_ok());
        context.limit = Usage { bytes: 99, entries: 1 };
        assert!(matches!(context.write(io::sink()), Err(ContextError::TooLarge(_))));
        context.limit = Usage { bytes: 100, entries: 0 };
        assert!(matches!(context.write(io::sink()), Err(ContextError::TooLarge(_))));
    }
}
