//! The git program, started so that nothing in a repository or on the machine decides what it does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::source::RepositoryUrl;

use crate::builder::tools;
use crate::process::{Buffer, Limits, Program, Refusal, Sink, SpawnError, Supervisor};
use crate::source::SourceError;
use crate::source::git::failure;
use crate::source::git::settings::Settings;

/// How much of what git says is kept to tell what was wrong.
const MESSAGES_MAX: usize = 64 * 1024;
/// How much git may answer with: the names of all files, or of all branches and tags.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// Set for every run. Of the checks of objects, those stay errors that name what an attack needs (`.git` in a
/// tree, paths and addresses of submodules that are options, `..`); old tools wrote the other flaws, and are
/// forgiven.
const CONFIGURATION: [&str; 27] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.protectNTFS=true",
    "core.protectHFS=true",
    "core.fsync=none", // A mirror can be fetched again.
    "submodule.recurse=false",
    "init.defaultBranch=main",
    "advice.detachedHead=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.fsckObjects=true",
    "fetch.unpackLimit=1",
    "fetch.fsck.badDate=ignore",
    "fetch.fsck.badEmail=ignore",
    "fetch.fsck.badName=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingEmail=ignore",
    "fetch.fsck.missingNameBeforeEmail=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.missingSpaceBeforeEmail=ignore",
    "fetch.fsck.multipleAuthors=ignore",
    "fetch.fsck.zeroPaddedDate=ignore",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "checkout.workers=0",
];

/// Git, for one fetch.
#[derive(Clone, Debug)]
pub(super) struct Git<'a> {
    settings: &'a Settings,
    supervisor: Supervisor,
    name: String,
}

/// What a run of git came to.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) succeeded: bool,
    pub(super) answer: Vec<u8>,
    pub(super) messages: String,
    /// Whether the answer is longer than what is kept of it.
    pub(super) is_cut: bool,
}

/// Where and with what git is run.
#[derive(Clone, Debug, Default)]
pub(super) struct Run<'a> {
    pub(super) arguments: Vec<&'a str>,
    /// The directory to run in; the cache when it is not said.
    pub(super) directory: Option<&'a Path>,
    /// The repository that it talks to. Without one, it may talk to none.
    pub(super) url: Option<&'a RepositoryUrl>,
    /// Added to its environment.
    pub(super) environment: Vec<(&'a str, String)>,
}

impl<'a> Git<'a> {
    /// `name` is what its processes are called.
    pub(super) fn new(settings: &'a Settings, supervisor: Supervisor, name: &str) -> Self {
        Self { settings, supervisor, name: name.to_owned() }
    }

    pub(super) const fn settings(&self) -> &'a Settings {
        self.settings
    }

    /// The directory of the mirrors.
    pub(super) fn cache(settings: &Settings) -> PathBuf {
        settings.data.join("cache/git")
    }

    /// Runs git to its end.
    pub(super) async fn run(&self, run: Run<'_>) -> Result<Ran, SourceError> {
        let cache = Self::cache(self.settings);
        let home = cache.join("home");
        std::fs::create_dir_all(&home)
            .map_err(|error| failure::failed("make the cache", Some(Box::new(error))))?;
        let configuration = CONFIGURATION.iter().flat_map(|setting| ["-c", setting]);
        let arguments = std::iter::once("git").chain(configuration).chain(run.arguments.iter().copied());
        let program = Program::new(self.name.clone(), arguments)
            .directory(run.directory.unwrap_or(&cache))
            .environment(self.environment(&home, &run))
            .limits(Limits {
                file_bytes: Some(self.settings.bytes_max.max(self.settings.files.bytes)),
                ..Limits::default()
            });
        let (answer, messages) = (Buffer::new(ANSWER_MAX), Buffer::new(MESSAGES_MAX));
        let sinks = (Sink::Bytes(answer.clone()), Sink::Bytes(messages.clone()));
        let child = match self.supervisor.spawn_into(program, sinks.0, sinks.1).await {
            Ok(child) => child,
            Err(SpawnError::Refused(Refusal::NotFound { .. })) => {
                return Err(failure::not_installed(tools::advice("git")));
            }
            Err(error) => return Err(failure::failed("start git", Some(Box::new(error)))),
        };
        let exit = child.wait().await;
        let is_cut = answer.is_full();
        let messages = String::from_utf8_lossy(&messages.take()).into_owned();
        Ok(Ran { succeeded: exit.is_success(), answer: answer.take(), messages, is_cut })
    }

    /// Runs git, and takes anything but success for a failure of the repository.
    pub(super) async fn succeed(&self, run: Run<'_>) -> Result<Vec<u8>, SourceError> {
        let url = run.url;
        let ran = self.run(run).await?;
        if ran.succeeded { Ok(ran.answer) } else { Err(failure::of_git(url, &ran.messages)) }
    }

    fn environment(&self, home: &Path, run: &Run<'_>) -> BTreeMap<String, String> {
        let mut environment = self.settings.environment.clone();
        let home = home.to_string_lossy();
        let fixed = [
            ("PATH", self.settings.path.as_str()),
            ("HOME", &home),
            ("XDG_CONFIG_HOME", &home),
            ("LC_ALL", "C.UTF-8"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("SSH_ASKPASS", "/bin/false"),
            ("GIT_SSH_COMMAND", self.settings.ssh_command.as_str()),
            ("GIT_LFS_SKIP_SMUDGE", "1"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            // A word that is no protocol where none is meant to be spoken: an empty list would allow the
            // default.
            ("GIT_ALLOW_PROTOCOL", run.url.map_or("none", RepositoryUrl::protocol)),
        ];
        environment.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        environment.extend(run.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        environment
    }
}
