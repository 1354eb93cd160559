//! A git repository on this machine, asked by git itself: which revision, what is not in it, and its files.
//!
//! Programs are started with argument lists; what a person gave has passed the rules of [`GitRef`] before.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use domain::source::{GitRef, MAX_SUBJECT_LENGTH, Revision};

use crate::client::failure::{Exit, Failure};

/// How much of what git says is repeated, in characters.
const SAID_MAX: usize = 500;

/// A directory of a repository, at one revision.
#[derive(Clone, Debug)]
pub(crate) struct Checkout {
    directory: PathBuf,
    /// What will be deployed.
    pub(crate) revision: Revision,
    /// How many changes are not in it, when what is checked out is deployed.
    pub(crate) uncommitted: usize,
    /// How many submodules it has: their files are in other repositories.
    pub(crate) submodules: usize,
}

/// Why git could not tell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// It is not installed.
    #[error("start git, which is needed to read the repository {}", directory.display())]
    Start {
        /// Of which.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It says no.
    #[error("read the repository {}: {said}", directory.display())]
    Refused {
        /// Of which.
        directory: PathBuf,
        /// What it says.
        said: String,
    },
    /// Nothing was committed yet.
    #[error("the repository {} has no commits yet", .0.display())]
    Empty(PathBuf),
    /// The revision has no files in this directory.
    #[error("revision {revision} has no files in {}", directory.display())]
    NoFiles {
        /// Which directory.
        directory: PathBuf,
        /// At which revision.
        revision: String,
    },
    /// No such branch, tag or revision.
    #[error("the repository {} has no branch, tag or revision `{reference}`", directory.display())]
    NoReference {
        /// Of which.
        directory: PathBuf,
        /// What was asked for.
        reference: GitRef,
    },
    /// The archive broke off.
    #[error("pack the repository")]
    Archive(#[source] io::Error),
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        match &error {
            GitError::Empty(_) => Self::of(Exit::Usage, &error).try_next("commit something first"),
            GitError::NoFiles { .. } => Self::of(Exit::Usage, &error).try_next("commit them first"),
            GitError::NoReference { .. } => Self::of(Exit::NotFound, &error)
                .coded("reference_not_found")
                .try_next("`git fetch` brings what the remote has; `git branch -a` and `git tag` list all"),
            GitError::Start { .. } | GitError::Refused { .. } | GitError::Archive(_) => {
                Self::of(Exit::Failed, &error)
            }
        }
    }
}

fn git(directory: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(directory)
        // Its messages are looked at.
        .env("LC_ALL", "C")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        // Set where this runs inside a hook of another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_PREFIX")
        .args(["-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "tar.umask=0022"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    git
}

fn run(directory: &Path, arguments: &[&str]) -> Result<Output, GitError> {
    let output = git(directory).args(arguments).output();
    output.map_err(|source| GitError::Start { directory: directory.to_owned(), source })
}

fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim().trim_start_matches("fatal: ");
    crate::ui::text::without_controls(text.lines().next().unwrap_or_default(), false)
        .chars()
        .take(SAID_MAX)
        .collect()
}

fn ask(directory: &Path, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
    let output = run(directory, arguments)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(GitError::Refused { directory: directory.to_owned(), said: said(&output.stderr) })
}

fn line(output: &[u8]) -> String {
    String::from_utf8_lossy(output).trim().to_owned()
}

/// Whether a directory above has what makes a repository: then git's no is an error, and not "no repository".
fn seems_to_be_one(directory: &Path) -> bool {
    let absolute = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    absolute.ancestors().any(|above| above.join(".git").exists())
}

impl Checkout {
    /// Looks at a directory. `None` when it belongs to no repository, or is one that the repository around it
    /// does not know.
    ///
    /// # Errors
    /// [`GitError`].
    pub(crate) fn open(directory: &Path, reference: Option<&GitRef>) -> Result<Option<Self>, GitError> {
        let about = match run(directory, &["rev-parse", "--is-inside-work-tree", "--is-bare-repository"]) {
            Ok(about) => about,
            Err(_) if !seems_to_be_one(directory) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !about.status.success() {
            let said = said(&about.stderr);
            let is_none = said.starts_with("not a git repository") && !seems_to_be_one(directory);
            let refused = GitError::Refused { directory: directory.to_owned(), said };
            return if is_none { Ok(None) } else { Err(refused) };
        }
        let about = line(&about.stdout);
        let is_work_tree = about.starts_with("true");
        if !is_work_tree && !about.ends_with("true") {
            let said = "this is inside the repository's own directory".to_owned();
            return Err(GitError::Refused { directory: directory.to_owned(), said });
        }
        let is_top = !is_work_tree || line(&ask(directory, &["rev-parse", "--show-prefix"])?).is_empty();
        let Some(id) = resolve(directory, reference, is_top)? else { return Ok(None) };
        let tree = ask(directory, &["ls-tree", "-r", "-z", &id])?;
        let entries: Vec<&[u8]> = tree.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).collect();
        if entries.is_empty() {
            if !is_top && reference.is_none() {
                return Ok(None);
            }
            let revision = id.get(..7).unwrap_or(&id).to_owned();
            return Err(GitError::NoFiles { directory: directory.to_owned(), revision });
        }
        let submodules = entries.iter().filter(|entry| entry.starts_with(b"160000 ")).count();
        let uncommitted = if is_work_tree && reference.is_none() { uncommitted(directory)? } else { 0 };
        let subject = line(&ask(directory, &["log", "-1", "--format=%s", &id])?);
        let revision = Revision {
            id: id.parse().map_err(|_| GitError::Refused {
                directory: directory.to_owned(),
                said: format!("`{id}` is no revision"),
            })?,
            subject: subject.chars().take(MAX_SUBJECT_LENGTH).collect(),
        };
        Ok(Some(Self { directory: directory.to_owned(), revision, uncommitted, submodules }))
    }

    /// Writes the files of the directory, at the revision, as a tar archive.
    ///
    /// # Errors
    /// [`GitError`].
    pub(crate) fn archive(&self, mut to: impl Write) -> Result<(), GitError> {
        let started = git(&self.directory)
            .args(["archive", "--format=tar", self.revision.id.as_str()])
            // What it warns of must not fill a pipe that nobody reads.
            .stderr(Stdio::null())
            .spawn();
        let child =
            started.map_err(|source| GitError::Start { directory: self.directory.clone(), source })?;
        let mut child = Ended(child);
        if let Some(mut files) = child.0.stdout.take() {
            io::copy(&mut files, &mut to).map_err(GitError::Archive)?;
        }
        let status = child.0.wait().map_err(GitError::Archive)?;
        if status.success() {
            return Ok(());
        }
        Err(GitError::Refused { directory: self.directory.clone(), said: format!("git archive: {status}") })
    }
}

/// A program that does not outlive the wish for it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Ended already, as a rule.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The full name of the revision. `None` when nothing was committed in a repository around the directory.
fn resolve(directory: &Path, reference: Option<&GitRef>, is_top: bool) -> Result<Option<String>, GitError> {
    let wanted = format!("{}^{{commit}}", reference.map_or("HEAD", GitRef::as_str));
    let found = run(directory, &["rev-parse", "--verify", "--quiet", &wanted])?;
    match (found.status.success(), reference) {
        (true, _) => Ok(Some(line(&found.stdout))),
        (false, Some(reference)) => {
            let (directory, reference) = (directory.to_owned(), reference.clone());
            Err(GitError::NoReference { directory, reference })
        }
        (false, None) if is_top => Err(GitError::Empty(directory.to_owned())),
        (false, None) => Ok(None),
    }
}

/// Counts what `git status` tells of the directory: changed, new and deleted files.
fn uncommitted(directory: &Path) -> Result<usize, GitError> {
    let arguments = ["status", "--porcelain=v1", "-z", "--untracked-files=normal", "--", "."];
    let status = ask(directory, &arguments)?;
    let mut fields = status.split(|byte| *byte == 0).filter(|field| !field.is_empty());
    let mut count = 0;
    while let Some(field) = fields.next() {
        count += 1;
        // A renamed or copied file has its old name in the next field.
        if field.iter().take(2).any(|code| matches!(code, b'R' | b'C')) {
            fields.next();
        }
    }
    Ok(count)
}
