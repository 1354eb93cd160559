//! Addresses and names, as people write them and as attackers do.

use super::*;

#[test]
fn the_usual_forms_of_an_address_are_taken() {
    for (text, url) in [
        ("https://github.com/a/b.git", "https://github.com/a/b.git"),
        ("git@github.com:a/b.git", "ssh://git@github.com/a/b.git"),
        ("ssh://git@host.example/a/b", "ssh://git@host.example/a/b"),
        ("file:///srv/repos/b", "file:///srv/repos/b"),
        ("http://127.0.0.1:3000/a/b", "http://127.0.0.1:3000/a/b"),
        ("http://[::1]:3000/a/b", "http://[::1]:3000/a/b"),
        ("https://[2001:db8:0:0:0:0:0:1]/a/b.git", "https://[2001:db8::1]/a/b.git"),
    ] {
        let parsed: RepositoryUrl = text.parse().expect(text);
        assert_eq!(parsed.as_str(), url);
        assert_eq!(parsed.stem(), "b");
    }
}

#[test]
fn what_git_could_take_for_an_option_or_a_helper_is_refused() {
    for text in [
        "",
        "-u",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch",
        "ext::ssh://host/a",
        "fd::17",
        "/srv/repo",
        "./repo",
        "http://example.com/a",
        "git://example.com/a",
        "ssh://-oProxyCommand=x/a",
        "ssh://-x@host/a",
        "-x@host:a",
        "https://host/a\nb",
        "https://host",
        "https://host/",
        "file://host/a",
        "https://host/a?x=1",
        "https://host/a#b",
    ] {
        assert!(text.parse::<RepositoryUrl>().is_err(), "{text}");
    }
}

#[test]
fn an_address_with_a_password_is_refused_and_not_repeated() {
    for text in ["https://u:hunter2@host/a", "https://hunter2@host/a", "ssh://git:hunter2@host/a"] {
        let error = text.parse::<RepositoryUrl>().expect_err(text);
        assert_eq!(error, InvalidSource::Password);
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn names_of_branches_follow_the_rules_of_git() {
    for text in ["main", "feature/x", "v1.0", "0123abc", "dependabot/npm/x-1.2"] {
        assert!(text.parse::<GitRef>().is_ok(), "{text}");
    }
    for text in ["", "-x", "a..b", "a b", "a~1", "a^", "a:b", "x.lock", "/a", "a/", ".a", "@{1}", "@", "a\0"]
    {
        assert!(text.parse::<GitRef>().is_err(), "{text}");
    }
}

#[test]
fn a_revision_is_a_full_name() {
    assert!("a".repeat(40).parse::<RevisionId>().is_ok());
    for text in ["", "abc", &"A".repeat(40), &"g".repeat(40)] {
        assert!(text.parse::<RevisionId>().is_err(), "{text}");
    }
}
