//! Submodules: which of them are fetched, and from where.

use domain::source::RepositoryUrl;

use crate::source::SourceError;
use crate::source::git::checkout::Submodule;
use crate::source::git::failure;
use crate::source::git::settings::Settings;

/// Refuses more submodules, or deeper ones, than are allowed.
pub(super) fn check(
    settings: &Settings,
    count: usize,
    depth: usize,
    found: &[Submodule],
) -> Result<(), SourceError> {
    if count > settings.submodules_max {
        return Err(failure::too_large(format!(
            "the repository has more than {} submodules",
            settings.submodules_max
        )));
    }
    match found.first() {
        Some(first) if depth >= settings.depth_max => {
            let message = format!("submodules are more than {} deep (at {})", settings.depth_max, first.path);
            Err(failure::too_large(message))
        }
        Some(_) | None => Ok(()),
    }
}

/// The address of a submodule, by the same rules as that of a repository. One on this machine only belongs to
/// a repository on this machine.
pub(super) fn address(
    parent: &RepositoryUrl,
    path: &str,
    url: Option<&str>,
) -> Result<RepositoryUrl, SourceError> {
    let Some(url) = url else {
        return Err(failure::forbidden(format!("the submodule {path} has no address in .gitmodules")));
    };
    let text =
        if url.starts_with("./") || url.starts_with("../") { relative(parent, url) } else { url.to_owned() };
    let address: RepositoryUrl = text
        .parse()
        .map_err(|error| failure::forbidden(format!("the submodule {path} cannot be fetched: {error}")))?;
    let leaves = matches!(address.protocol(), "file" | "http") && address.protocol() != parent.protocol();
    if leaves {
        let message =
            format!("the submodule {path} is on this server ({address}), and the repository is not");
        return Err(failure::forbidden(message));
    }
    Ok(address)
}

/// An address relative to that of the repository, as git reads it: each `../` takes one part away, never the
/// host.
fn relative(parent: &RepositoryUrl, url: &str) -> String {
    let text = parent.as_str().trim_end_matches('/');
    let (base, path) = match text.split_once("://") {
        Some((protocol, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            (format!("{protocol}://{host}"), path)
        }
        None => (String::new(), text),
    };
    let mut parts: Vec<&str> = path.split('/').collect();
    for part in url.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("{base}/{}", parts.join("/"))
}

/// The error of a submodule says of which.
pub(super) fn within(path: &str, error: SourceError) -> SourceError {
    if path.is_empty() {
        return error;
    }
    SourceError { message: format!("the submodule {path}: {}", error.message), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> RepositoryUrl {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_may_be_relative_to_the_repository() {
        let parent = url("https://host.example/team/app.git");
        for (text, found) in [
            ("../lib.git", "https://host.example/team/lib.git"),
            ("../../other/lib", "https://host.example/other/lib"),
            ("./lib", "https://host.example/team/app.git/lib"),
            ("../../../../../lib", "https://host.example/lib"),
            ("https://other.example/lib", "https://other.example/lib"),
            ("git@other.example:team/lib.git", "ssh://git@other.example/team/lib.git"),
        ] {
            assert_eq!(address(&parent, "lib", Some(text)).expect(text).as_str(), found);
        }
        let local = url("file:///srv/git/app");
        assert_eq!(address(&local, "lib", Some("../lib")).expect("local").as_str(), "file:///srv/git/lib");
    }

    #[test]
    fn what_is_no_address_or_leads_to_this_machine_is_refused() {
        let parent = url("https://host.example/team/app.git");
        for text in [
            "-u./payload",
            "ext::sh -c id",
            "file:///etc",
            "http://127.0.0.1/x",
            "git://host.example/x",
            "/srv/git/x",
            "https://u:p@host.example/x",
            "..",
        ] {
            assert_eq!(address(&parent, "lib", Some(text)).expect_err(text).code, "repository_forbidden");
        }
        assert_eq!(address(&parent, "lib", None).expect_err("none").code, "repository_forbidden");
    }
}
