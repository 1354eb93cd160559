//! Which revision is meant by a branch, a tag, a revision, or nothing at all.

use domain::source::{GitRef, RepositoryUrl, Revision, RevisionId};

use crate::source::SourceError;
use crate::source::git::command::{Git, Run};
use crate::source::git::{failure, full};

/// How many branches an error names.
const BRANCHES_NAMED: usize = 10;
/// The fewest digits that a shortened revision has.
const SHORTENED_MIN: usize = 7;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The default branch.
    Default,
    /// A branch, a tag, or a shortened revision.
    Named(GitRef),
    /// Exactly this.
    Revision(RevisionId),
}

/// What is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Exactly this.
    Revision(RevisionId),
    /// The revision whose name begins with this; only the whole history tells which that is.
    Shortened(String),
}

impl Wanted {
    pub(super) fn of(reference: Option<&GitRef>, pinned: Option<&Revision>) -> Self {
        match (pinned, reference) {
            (Some(revision), _) => Self::Revision(revision.id.clone()),
            (None, None) => Self::Default,
            (None, Some(reference)) => match full(reference.as_str()) {
                Some(id) => Self::Revision(id),
                None => Self::Named(reference.clone()),
            },
        }
    }
}

/// Asks the repository's server what is meant.
pub(super) async fn resolve(
    git: &Git<'_>,
    url: &RepositoryUrl,
    wanted: &Wanted,
) -> Result<Target, SourceError> {
    let name = match wanted {
        Wanted::Revision(id) => return Ok(Target::Revision(id.clone())),
        Wanted::Default => "HEAD",
        Wanted::Named(reference) => reference.as_str(),
    };
    let names = candidates(name);
    let mut patterns: Vec<&str> = names.iter().map(String::as_str).collect();
    patterns.push("HEAD"); // Tells an empty repository from a missing name.
    let listing = list(git, url, &patterns).await?;
    if let Some(id) = names.iter().find_map(|name| listing.get(name)) {
        return Ok(Target::Revision(id));
    }
    let all = list(git, url, &[]).await?;
    let branches = all.branches();
    if all.0.is_empty() {
        return Err(failure::empty(url));
    }
    match (wanted, branches.as_slice()) {
        // A default branch that was never pushed; with one branch alone there is no doubt what is meant.
        (Wanted::Default, [only]) => {
            let id = all.get(&format!("refs/heads/{only}"));
            id.map(Target::Revision).ok_or_else(|| failure::empty(url))
        }
        (Wanted::Default, _) => {
            let message = format!("{url} has no default branch; name one by `--ref`: {}", named(&branches));
            Err(failure::no_reference(message))
        }
        (Wanted::Named(reference), _) if is_shortened(reference.as_str()) => {
            Ok(Target::Shortened(reference.as_str().to_owned()))
        }
        (Wanted::Named(_) | Wanted::Revision(_), _) => Err(missing(url, name, &branches)),
    }
}

/// No branch, tag or revision of that name.
pub(super) fn missing(url: &RepositoryUrl, name: &str, branches: &[String]) -> SourceError {
    let message = format!("{url} has no branch, tag or revision `{name}`; its branches: {}", named(branches));
    failure::no_reference(message)
}

fn named(branches: &[String]) -> String {
    let more = if branches.len() > BRANCHES_NAMED { ", …" } else { "" };
    match branches {
        [] => "none".to_owned(),
        _ => format!("{}{more}", branches[..branches.len().min(BRANCHES_NAMED)].join(", ")),
    }
}

/// What a name can stand for, in the order in which it is looked for. A tag with a message stands for its
/// revision.
fn candidates(name: &str) -> Vec<String> {
    if name == "HEAD" || name.starts_with("refs/") {
        return vec![name.to_owned()];
    }
    vec![format!("refs/heads/{name}"), format!("refs/tags/{name}^{{}}"), format!("refs/tags/{name}")]
}

fn is_shortened(name: &str) -> bool {
    (SHORTENED_MIN..40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Names of a repository, and what they stand for.
struct Listing(Vec<(String, RevisionId)>);

impl Listing {
    fn parse(answer: &[u8]) -> Self {
        let text = String::from_utf8_lossy(answer);
        let lines = text.lines().filter_map(|line| line.split_once('\t'));
        Self(lines.filter_map(|(id, name)| Some((name.to_owned(), full(id)?))).collect())
    }

    fn get(&self, name: &str) -> Option<RevisionId> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, id)| id.clone())
    }

    fn branches(&self) -> Vec<String> {
        self.0.iter().filter_map(|(name, _)| name.strip_prefix("refs/heads/")).map(str::to_owned).collect()
    }
}

async fn list(git: &Git<'_>, url: &RepositoryUrl, names: &[&str]) -> Result<Listing, SourceError> {
    let ask = async |address: &str| {
        let mut arguments = vec!["ls-remote", "--", address];
        arguments.extend_from_slice(names);
        git.run(Run { arguments, url: Some(url), ..Run::default() }).await
    };
    let mut ran = ask(url.as_str()).await?;
    // GitLab and others send whoever leaves `.git` away to the address with it. That is no move.
    if !ran.succeeded && failure::is_redirect(&ran.messages) && !url.as_str().ends_with(".git") {
        let again = ask(&with_ending(url)).await?;
        ran = if again.succeeded { again } else { ran };
    }
    if ran.succeeded {
        Ok(Listing::parse(&ran.answer))
    } else {
        Err(failure::of_git(Some(url), &ran.messages))
    }
}

/// The address with `.git` at its end.
pub(super) fn with_ending(url: &RepositoryUrl) -> String {
    format!("{}.git", url.as_str().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_gives_the_revision_of_a_name() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let listing = Listing::parse(
            format!(
                "ref: refs/heads/main\tHEAD\n{a}\tHEAD\n{a}\trefs/heads/main\n{b}\trefs/tags/v1^{{}}\nx\ty\n"
            )
            .as_bytes(),
        );
        assert_eq!(listing.get("HEAD"), full(&a));
        assert_eq!(listing.get("refs/tags/v1^{}"), full(&b));
        assert_eq!(listing.get("main"), None);
        assert_eq!(listing.branches(), ["main"]);
    }

    #[test]
    fn a_branch_goes_before_a_tag_and_a_tag_stands_for_its_revision() {
        assert_eq!(candidates("v1"), ["refs/heads/v1", "refs/tags/v1^{}", "refs/tags/v1"]);
        assert_eq!(candidates("refs/pull/1/head"), ["refs/pull/1/head"]);
    }

    #[test]
    fn seven_digits_and_more_may_be_a_shortened_revision() {
        for (name, is) in [("abcdef1", true), ("abcdef", false), ("abcdefg", false), ("main", false)] {
            assert_eq!(is_shortened(name), is, "{name}");
        }
    }

    #[test]
    fn an_error_names_ten_branches_at_most() {
        let url: RepositoryUrl = "https://host.example/a".parse().expect("an address");
        let branches: Vec<_> = (0..11).map(|n| format!("b{n}")).collect();
        let error = missing(&url, "x", &branches);
        assert_eq!(error.code, "reference_not_found");
        assert!(error.message.ends_with("b9, …"), "{error}");
        assert!(missing(&url, "x", &branches[..10]).message.ends_with("b9"));
    }
}
