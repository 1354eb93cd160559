//! The directories that instances and commands have of their own, and the notes of commands that were run
//! with success.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use domain::service::release::InstanceId;

use crate::disk;

/// What the name of a note ends with.
const DONE: &str = ".done";
/// How many notes are kept; older ones belong to steps that ended long ago.
const DONE_KEPT: usize = 1000;

/// The directories of one instance or command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) home: PathBuf,
    pub(super) temporary: PathBuf,
}

/// Makes the place for all of them. Removes those of commands, none of which runs any more, and notes that
/// nobody will ask for again. Those of instances stay, for whoever asks what is left.
pub(super) fn open(root: &Path) -> io::Result<()> {
    private().recursive(true).create(root)?;
    let is_instance = |name: &String| name.parse::<InstanceId>().is_ok();
    let names = list(root)?.into_iter().filter(|name| !is_instance(name));
    let (mut notes, commands): (Vec<String>, Vec<String>) = names.partition(|name| name.ends_with(DONE));
    commands.iter().try_for_each(|command| disk::remove(&root.join(command)))?;
    // Their names begin with the time of the deployment.
    notes.sort_unstable();
    notes.truncate(notes.len().saturating_sub(DONE_KEPT));
    notes.iter().try_for_each(|note| fs::remove_file(root.join(note)))
}

/// Makes those of `name`; what is in them already stays.
pub(super) fn make(root: &Path, name: &str) -> io::Result<Own> {
    let own = Own { home: root.join(name).join("home"), temporary: root.join(name).join("tmp") };
    private().recursive(true).create(&own.home)?;
    private().recursive(true).create(&own.temporary)?;
    Ok(own)
}

/// All names.
pub(super) fn list(root: &Path) -> io::Result<Vec<String>> {
    let names = fs::read_dir(root)?.map(|entry| Ok(entry?.file_name().into_string().unwrap_or_default()));
    names.collect()
}

/// Notes that a command was run with success; from now on that survives a power cut.
pub(super) fn note_done(root: &Path, name: &str) -> io::Result<()> {
    File::create(root.join(format!("{name}{DONE}")))?.sync_all()?;
    File::open(root)?.sync_all()
}

/// Whether that was noted.
pub(super) fn is_done(root: &Path, name: &str) -> bool {
    root.join(format!("{name}{DONE}")).exists()
}

/// Forgets that it was noted; `name` as in [`list`]. Whether it is a note at all.
pub(super) fn forget_done(root: &Path, name: &str) -> io::Result<bool> {
    let is_note = name.ends_with(DONE);
    if is_note {
        fs::remove_file(root.join(name))?;
    }
    Ok(is_note)
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_left_is_removed_and_only_the_newest_notes_are_kept() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..DONE_KEPT + 3 {
            note_done(root.path(), &format!("{number:05}.prepare")).unwrap();
        }
        let instance = format!("{}.0", uuid::Uuid::nil());
        make(root.path(), &instance).unwrap();
        make(root.path(), &format!("{}.prepare.1", uuid::Uuid::nil())).unwrap();
        open(root.path()).unwrap();
        let mut left = list(root.path()).unwrap();
        left.sort_unstable();
        assert_eq!(left.len(), DONE_KEPT + 1);
        assert!(left.contains(&instance));
        assert!(left.contains(&"00003.prepare.done".to_owned()));
        assert!(!left.contains(&"00002.prepare.done".to_owned()));
    }
}
