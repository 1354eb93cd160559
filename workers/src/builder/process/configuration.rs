//! The configuration of the tools that this machine's user has: which registry, which mirror, which
//! authority. Builds get a copy, without credentials as far as those can be told.

use std::fs;
use std::io;
use std::path::Path;

/// How large such a file may be.
const SIZE_MAX: u64 = 256 * 1024;

/// What is done with a file that holds credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credentials {
    /// Lines with them are left out.
    Lines,
    /// It is not handed in.
    Whole,
}

/// Which directory a copy is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Into {
    Home,
    Cache,
}

const FILES: [(&str, Into, &str, Credentials); 9] = [
    (".npmrc", Into::Home, ".npmrc", Credentials::Lines),
    (".yarnrc", Into::Home, ".yarnrc", Credentials::Lines),
    (".config/pip/pip.conf", Into::Home, ".config/pip/pip.conf", Credentials::Whole),
    (".pip/pip.conf", Into::Home, ".pip/pip.conf", Credentials::Whole),
    (".config/uv/uv.toml", Into::Home, ".config/uv/uv.toml", Credentials::Whole),
    (".cargo/config.toml", Into::Cache, "cargo/config.toml", Credentials::Whole),
    (".cargo/config", Into::Cache, "cargo/config", Credentials::Whole),
    (".config/go/env", Into::Home, ".config/go/env", Credentials::Lines),
    (".m2/settings.xml", Into::Home, ".m2/settings.xml", Credentials::Whole),
];

/// Copies what there is.
pub(super) fn hand_in(from: &Path, home: &Path, cache: &Path) -> io::Result<()> {
    for (source, place, target, credentials) in FILES {
        let target = match place {
            Into::Home => home.join(target),
            Into::Cache => cache.join(target),
        };
        let text = read(&from.join(source)).and_then(|text| clean(&text, credentials));
        match text {
            Some(text) => {
                fs::create_dir_all(target.parent().unwrap_or(home))?;
                fs::write(target, text)?;
            }
            // One that an earlier build was handed, and that is gone.
            None if place == Into::Cache => match fs::remove_file(target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            None => {}
        }
    }
    Ok(())
}

fn read(path: &Path) -> Option<String> {
    let small = fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= SIZE_MAX);
    small.then(|| fs::read_to_string(path).ok())?
}

fn clean(text: &str, credentials: Credentials) -> Option<String> {
    let holds = |text: &str| {
        let text = text.to_ascii_lowercase();
        let words = ["_auth", "password", "token", "secret", "privatekey", "passphrase"];
        // A user and a password in an address.
        let in_address = text.split("://").skip(1).any(|rest| {
            let host = rest.split(['/', '"', '\'', ' ', '\n', '<']).next().unwrap_or_default();
            host.contains('@')
        });
        in_address || words.iter().any(|word| text.contains(word))
    };
    match credentials {
        Credentials::Whole => (!holds(text)).then(|| text.to_owned()),
        Credentials::Lines => {
            Some(text.lines().filter(|line| !holds(line)).map(|line| format!("{line}\n")).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_handed_in_without_credentials() {
        let (from, to) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let (home, cache) = (to.path().join("home"), to.path().join("cache"));
        for (name, text) in [
            (".npmrc", "registry=https://npm.example/\n//npm.example/:_authToken=abc\n"),
            (".config/pip/pip.conf", "[global]\nindex-url = https://u:p@pypi.example/simple\n"),
            (".pip/pip.conf", "[global]\nindex-url = https://pypi.example/simple\n"),
            (".cargo/config.toml", "[net]\nretry = 3\n"),
            (".m2/settings.xml", "<password>x</password>"),
        ] {
            let path = from.path().join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, text).expect("written");
        }
        hand_in(from.path(), &home, &cache).expect("handed in");
        let text = |path: &Path| fs::read_to_string(path).ok();
        assert_eq!(text(&home.join(".npmrc")).as_deref(), Some("registry=https://npm.example/\n"));
        assert_eq!(text(&home.join(".config/pip/pip.conf")), None);
        assert!(text(&home.join(".pip/pip.conf")).is_some());
        assert!(text(&cache.join("cargo/config.toml")).is_some());
        assert_eq!(text(&home.join(".m2/settings.xml")), None);
        fs::remove_file(from.path().join(".cargo/config.toml")).expect("removed");
        hand_in(from.path(), &home, &cache).expect("handed in");
        assert_eq!(text(&cache.join("cargo/config.toml")), None);
    }
}
