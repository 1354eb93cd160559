//! What the platform and a supervisor say to each other over the control socket, which is the supervisor's
//! standard input: the specification first; then commands of one byte; the other way, reports. Specification
//! and reports are JSON, each after its length in four bytes.
//!
//! The end of the platform's half is a command as well: whatever runs is killed.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Asks the program to end: SIGTERM to its process group.
pub(crate) const TERM: u8 = b't';
/// Ends everything at once.
pub(crate) const KILL: u8 = b'k';
/// The longest message, in bytes. An environment of Linux has at most 2 MiB, and JSON may make six bytes of
/// one.
pub(crate) const MAX_MESSAGE_BYTES: u32 = 16 << 20;

/// A message as it is sent.
pub(crate) fn message(content: &impl Serialize) -> io::Result<Vec<u8>> {
    let content = serde_json::to_vec(content)?;
    let length = u32::try_from(content.len()).ok().filter(|length| *length <= MAX_MESSAGE_BYTES);
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    Ok([&length.to_be_bytes()[..], &content].concat())
}

/// What a program may use up. What is not said is not limited, save core dumps: those are never written.
///
/// Memory, processors and processes are limited by a control group (v1 or v2), where this user may make one;
/// [`Child::unlimited`](crate::process::Child::unlimited) names what could not be. There is no substitute by
/// `RLIMIT_AS` (Node.js and Java reserve far more address space than they use) or `RLIMIT_NPROC` (it counts
/// all processes of the user).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory of all its processes together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processor time, in thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Processes and threads.
    pub processes_max: Option<u32>,
    /// Open files of one process.
    pub open_files_max: Option<u64>,
    /// The size of one file it writes, in bytes.
    pub file_bytes: Option<u64>,
}

/// Programs that are run one after the other, each only when the one before succeeded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Specification {
    /// What its processes carry in their environment, and its control groups in their names.
    pub(crate) mark: String,
    /// The programs; at least one.
    pub(crate) programs: Vec<Launch>,
    /// What all of them together may use up.
    pub(crate) limits: Limits,
}

/// One program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// The program as it was written, and its arguments; never empty.
    pub(crate) arguments: Vec<String>,
    /// Where it runs.
    pub(crate) directory: PathBuf,
    /// All of its environment.
    pub(crate) environment: BTreeMap<String, String>,
}

/// What the launcher of one program is told by the supervisor, its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Process id of the supervisor.
    pub(crate) parent: u32,
    /// The program.
    pub(crate) launch: Launch,
    /// The limits that a process sets for itself.
    pub(crate) limits: Limits,
    /// Files that it writes itself into, to join the control groups.
    pub(crate) join: Vec<PathBuf>,
}

/// Why a program could not be started. The text is for the person who deploys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is none of that name.
    #[error("there is no program `{program}`; it was looked for in {}", in_words(.searched))]
    NotFound {
        /// Its name, as it was written.
        program: String,
        /// Where it was looked for, in that order.
        searched: Vec<String>,
    },
    /// There is a file, and it may not be executed.
    #[error("`{program}` is not executable ({file}); `chmod +x` it, and keep that in git")]
    NotExecutable {
        /// Its name, as it was written.
        program: String,
        /// The file.
        file: String,
    },
    /// A script that begins with the name of a program that does not exist.
    #[error("`{program}` is there, but the interpreter that its first line names is not ({file})")]
    NoInterpreter {
        /// Its name, as it was written.
        program: String,
        /// The file.
        file: String,
    },
    /// The directory it was to run in.
    #[error("`{program}` cannot run in {directory}: {reason}")]
    Directory {
        /// Its name, as it was written.
        program: String,
        /// The directory.
        directory: String,
        /// What the system said.
        reason: String,
    },
    /// Something else.
    #[error("`{program}` could not be started: {reason}")]
    Failed {
        /// Its name, as it was written.
        program: String,
        /// What the system said.
        reason: String,
    },
}

fn in_words(searched: &[String]) -> String {
    if searched.is_empty() { "no directory, as PATH is empty".to_owned() } else { searched.join(", ") }
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By a signal.
    Signal {
        /// Its number.
        number: i32,
        /// Whether the kernel ended a process of it because its memory limit was reached.
        out_of_memory: bool,
    },
    /// A later one of several programs could not be started.
    NotStarted(Refusal),
    /// Its supervisor died. Nothing of it is left, and how it ended nobody knows.
    Lost,
}

/// What a supervisor reports.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The first program runs.
    Started {
        /// Its process id.
        pid: u32,
        /// Limits that could not be set, by name.
        unlimited: Vec<String>,
    },
    /// Nothing is left of it. The last message.
    Ended {
        /// How it ended.
        exit: Exit,
        /// Processes that could not be killed, because the kernel does not let go of them.
        left: Vec<u32>,
    },
}
