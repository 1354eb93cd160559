//! The files of a revision, written into a directory: no more of them than allowed, no `.git`, and no link
//! that leads out.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use domain::source::RevisionId;

use crate::builder::tree::Tree;
use crate::disk::Size;
use crate::source::SourceError;
use crate::source::git::command::{Git, Run};
use crate::source::git::mirror::Mirror;
use crate::source::git::{failure, full};

/// How many removed links a note names.
const LINKS_NAMED: usize = 5;

/// What was written so far, for the limits of a repository and its submodules together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    files: u64,
    bytes: u64,
}

/// A submodule of a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Submodule {
    /// Where it belongs, relative to the revision's files.
    pub(super) path: String,
    /// The revision of it.
    pub(super) id: RevisionId,
    /// Its address, as `.gitmodules` has it.
    pub(super) url: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) submodules: Vec<Submodule>,
    /// Lines for the person who deploys.
    pub(super) notes: Vec<String>,
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    id: String,
    bytes: u64,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Link,
    Submodule,
}

/// Writes the files of a revision into `into`, which is made.
pub(super) async fn checkout(
    git: &Git<'_>,
    mirror: &Mirror,
    id: &RevisionId,
    into: &Path,
    counts: &mut Counts,
) -> Result<Found, SourceError> {
    let entries = entries(git, mirror, id, counts).await?;
    make_directory(into)?;
    if !entries.is_empty() {
        write(git, mirror, id, into).await?;
    }
    let mut found = Found::default();
    let links =
        entries.iter().filter(|entry| entry.kind == Kind::Link).map(|entry| entry.path.clone()).collect();
    found.notes.extend(remove_links_out(into, links).await?);
    if is_in_lfs(into) {
        found.notes.push("files in Git LFS are left as the pointers that are in the repository".into());
    }
    let modules: Vec<_> = entries.into_iter().filter(|entry| entry.kind == Kind::Submodule).collect();
    if !modules.is_empty() {
        found.submodules = submodules(git, mirror, id, modules).await?;
    }
    Ok(found)
}

/// A directory that git has made for a submodule is there already, and empty.
fn make_directory(into: &Path) -> Result<(), SourceError> {
    let cannot = |error: std::io::Error| failure::failed("make the directory", Some(Box::new(error)));
    match fs::symlink_metadata(into) {
        Ok(there)
            if there.is_dir() && fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_none()) =>
        {
            Ok(())
        }
        Ok(there) if there.is_dir() => {
            crate::disk::remove(into).map_err(cannot)?;
            fs::create_dir(into).map_err(cannot)
        }
        Ok(_) => Err(failure::forbidden("it has a link or a file where a directory belongs".into())),
        Err(_) => fs::create_dir_all(into).map_err(cannot),
    }
}

async fn entries(
    git: &Git<'_>,
    mirror: &Mirror,
    id: &RevisionId,
    counts: &mut Counts,
) -> Result<Vec<Entry>, SourceError> {
    let limit = git.settings().files;
    let arguments = vec!["ls-tree", "-r", "-z", "--long", "--full-tree", id.as_str()];
    let ran = git.run(Run { arguments, directory: Some(mirror.directory()), ..Run::default() }).await?;
    let too_many = || failure::too_large(format!("{} has more than {} files", mirror.url(), limit.entries));
    if ran.is_cut {
        return Err(too_many());
    }
    if !ran.succeeded {
        return Err(failure::of_git(Some(mirror.url()), &ran.messages));
    }
    let entries: Vec<_> = ran.answer.split(|byte| *byte == 0).filter_map(entry).collect();
    counts.files += entries.len() as u64;
    counts.bytes += entries.iter().map(|entry| entry.bytes).sum::<u64>();
    if counts.files > limit.entries {
        return Err(too_many());
    }
    if counts.bytes > limit.bytes {
        let message = format!("the files of {} have more than {}", mirror.url(), Size(limit.bytes));
        return Err(failure::too_large(message));
    }
    Ok(entries)
}

/// `100644 blob <id> <bytes>\t<path>`. The path is any bytes.
fn entry(line: &[u8]) -> Option<Entry> {
    let tab = line.iter().position(|byte| *byte == b'\t')?;
    let path = PathBuf::from(OsStr::from_bytes(&line[tab + 1..]));
    let mut words = str::from_utf8(&line[..tab]).ok()?.split_whitespace();
    let (mode, _, id, bytes) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let kind = match mode {
        "120000" => Kind::Link,
        "160000" => Kind::Submodule,
        _ => Kind::File,
    };
    Some(Entry { kind, id: id.to_owned(), bytes: bytes.parse().unwrap_or(0), path })
}

async fn write(git: &Git<'_>, mirror: &Mirror, id: &RevisionId, into: &Path) -> Result<(), SourceError> {
    let index = mirror.directory().join("index"); // Nobody else has it while the mirror is held.
    let directory = format!("--git-dir={}", mirror.directory().display());
    let tree = format!("--work-tree={}", into.display());
    let arguments = vec![&directory, &tree, "checkout", "--quiet", "--force", id.as_str(), "--", "."];
    let environment = vec![("GIT_INDEX_FILE", index.to_string_lossy().into_owned())];
    let written = git.succeed(Run { arguments, directory: Some(into), environment, ..Run::default() }).await;
    let _ = fs::remove_file(&index);
    written.map(|_| ()).map_err(|error| SourceError {
        message: error.message.replacen("the repository", mirror.url().as_str(), 1),
        ..error
    })
}

/// Removes links that lead out of the directory: what reads them would read the server's files.
async fn remove_links_out(into: &Path, links: Vec<PathBuf>) -> Result<Vec<String>, SourceError> {
    if links.is_empty() {
        return Ok(vec![]);
    }
    let directory = into.to_owned();
    let remove = move || -> std::io::Result<Vec<PathBuf>> {
        let tree = Tree::open(&directory)?;
        let out: Vec<_> = links.into_iter().filter(|link| tree.leads_out(link)).collect();
        for link in &out {
            fs::remove_file(directory.join(link))?;
        }
        Ok(out)
    };
    let removed =
        tokio::task::spawn_blocking(remove).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let out = removed.map_err(|error| failure::failed("look at links", Some(Box::new(error))))?;
    if out.is_empty() {
        return Ok(vec![]);
    }
    let more = if out.len() > LINKS_NAMED { ", …" } else { "" };
    let named: Vec<_> = out.iter().take(LINKS_NAMED).map(|link| link.display().to_string()).collect();
    Ok(vec![format!("removed links that lead out of the repository: {}{more}", named.join(", "))])
}

fn is_in_lfs(directory: &Path) -> bool {
    let tree = Tree::open(directory).ok();
    tree.and_then(|tree| tree.text(".gitattributes")).is_some_and(|text| text.contains("filter=lfs"))
}

/// The addresses of submodules, from `.gitmodules`. Names and paths there are compared, never used.
async fn submodules(
    git: &Git<'_>,
    mirror: &Mirror,
    id: &RevisionId,
    modules: Vec<Entry>,
) -> Result<Vec<Submodule>, SourceError> {
    let blob = format!("{id}:.gitmodules");
    let arguments = vec!["config", "--blob", &blob, "--null", "--list"];
    let ran = git.run(Run { arguments, directory: Some(mirror.directory()), ..Run::default() }).await?;
    let settings = parse_modules(&String::from_utf8_lossy(&ran.answer));
    let submodule = |entry: Entry| {
        let path = entry.path.to_str()?.to_owned();
        let url = settings.iter().find(|(found, _)| *found == path).map(|(_, url)| url.clone());
        Some(Submodule { id: full(&entry.id)?, path, url })
    };
    Ok(modules.into_iter().filter_map(submodule).collect())
}

/// Pairs of path and address.
fn parse_modules(text: &str) -> Vec<(String, String)> {
    let values: Vec<(&str, &str)> = text.split('\0').filter_map(|setting| setting.split_once('\n')).collect();
    let of = |name: &str, key: &str| {
        let wanted = format!("submodule.{name}.{key}");
        values.iter().find(|(found, _)| *found == wanted).map(|(_, value)| (*value).to_owned())
    };
    let names = values.iter().filter_map(|(key, _)| key.strip_prefix("submodule.")?.strip_suffix(".path"));
    names.filter_map(|name| Some((of(name, "path")?, of(name, "url")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_tree_are_read_with_any_path() {
        let found = entry(b"100644 blob 1234     578\ta b\t\n$(touch x)\xff").expect("an entry");
        assert_eq!((found.kind, found.bytes), (Kind::File, 578));
        assert_eq!(found.path.as_os_str().as_bytes(), b"a b\t\n$(touch x)\xff");
        assert_eq!(entry(b"160000 commit 1234       -\tlib").expect("an entry").kind, Kind::Submodule);
        assert_eq!(entry(b"120000 blob 1234       3\tlink").expect("an entry").kind, Kind::Link);
        assert_eq!(entry(b""), None);
    }

    #[test]
    fn addresses_of_submodules_belong_to_their_paths() {
        let text =
            "submodule.a b.path\nlib/a\0submodule.a b.url\n../a\0submodule.x.path\ny\0core.hooksPath\nz\0";
        assert_eq!(parse_modules(text), [("lib/a".to_owned(), "../a".to_owned())]);
    }
}
