//! How other programs are run: an argument list, never a shell, and a failure that names what was run.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Doing, Failure};
use crate::workspace;

/// Where administrators' programs lie that a user's PATH may not name.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The cargo that runs us, in the checkout.
pub(crate) fn cargo<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace::root());
    // What the cargo that runs us says of our own package: build scripts that look at it would run again.
    let ours = env::vars_os().map(|(name, _)| name);
    for name in ours.filter(|name| name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_"))) {
        command.env_remove(name);
    }
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    command
}

/// Runs a program to its end, on our own terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().doing(|| format!("start {}", describe(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("{} ended with {status}", describe(command))))
    }
}

/// Runs a program to its end and gives back what it printed; what it complained about is shown when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).output().doing(|| format!("start {}", describe(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!(
            "{} ended with {}: {}",
            describe(command),
            output.status,
            complaint.trim()
        )));
    }
    String::from_utf8(output.stdout).doing(|| format!("read what {} printed", describe(command)))
}

/// The program's path, when it is installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// As one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_fails_is_named_with_what_it_complained_about() {
        let failure = output(Command::new("git").args(["--no-such-flag"])).unwrap_err();
        let text = failure.to_string();
        assert!(text.starts_with("git --no-such-flag ended with exit status: "), "{text}");
    }

    #[test]
    fn a_program_that_is_not_installed_is_not_found() {
        assert!(find("git").is_some());
        assert!(find("no-such-program-of-switchback").is_none());
    }
}
