//! A process that appends (`examples/append.rs`), what it was acknowledged, and whether that is in the log.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use domain::stream::{StreamId, Version};
use eventlog::log::EventLog;

/// A test that waits longer than this for an acknowledgement fails.
const LIMIT: Duration = Duration::from_secs(30);

/// The last version that each stream was acknowledged.
pub(crate) type Acknowledged = BTreeMap<StreamId, Version>;

pub(crate) struct Writer {
    child: Child,
    acknowledged: Arc<Mutex<Acknowledged>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// The program, which `cargo test -p switchback-eventlog` builds beside the tests.
pub(crate) fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples/append");
    assert!(program.exists(), "{} is not there: `cargo build --examples` makes it", program.display());
    program
}

impl Writer {
    /// Starts it under a command, whose arguments it is given.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let acknowledged = Arc::new(Mutex::new(Acknowledged::new()));
        let (output, noted) = (child.stdout.take().unwrap(), Arc::clone(&acknowledged));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Some((stream, version)) = line.split_once(' ') else { continue };
                let (stream, version) = (stream.parse().unwrap(), version.parse().unwrap());
                noted.lock().unwrap().insert(stream, Version(version));
            }
        });
        Self { child, acknowledged, reader: Some(reader) }
    }

    /// Waits until so many commits were acknowledged.
    pub(crate) fn wait_for(&self, commits: u64) {
        let begin = Instant::now();
        while self.count() < commits {
            assert!(begin.elapsed() < LIMIT, "{} of {commits} commits came", self.count());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.acknowledged.lock().unwrap().values().map(|version| version.0).sum()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, and answers with all that it was acknowledged.
    pub(crate) fn kill(mut self) -> Acknowledged {
        self.child.kill().unwrap();
        self.end()
    }

    /// Waits until it gives up, and answers with all that it was acknowledged.
    pub(crate) fn wait(mut self) -> Acknowledged {
        let begin = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < LIMIT, "the writer goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.end()
    }

    fn end(&mut self) -> Acknowledged {
        self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        self.acknowledged.lock().unwrap().clone()
    }

    /// Stops it where it is, and answers with what it was acknowledged until then.
    pub(crate) fn stop(&self) -> Acknowledged {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        self.settled()
    }

    /// What it was acknowledged, when nothing comes any more.
    pub(crate) fn settled(&self) -> Acknowledged {
        let mut before = u64::MAX;
        // What is in the pipe was acknowledged too.
        while before != self.count() {
            before = self.count();
            std::thread::sleep(Duration::from_millis(100));
        }
        self.acknowledged.lock().unwrap().clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fails unless everything that was acknowledged is in the log.
pub(crate) async fn must_have(log: &dyn EventLog, acknowledged: &Acknowledged) {
    assert!(!acknowledged.is_empty());
    for (stream, version) in acknowledged {
        let slice = log.read(stream, Version::ZERO).await.unwrap();
        assert!(slice.head.version >= *version, "{stream} has {:?}, {version} was acknowledged", slice.head);
        // One more may have been written whose acknowledgement did not come through.
        assert!(slice.head.version.0 <= version.0 + 1, "{stream} has {:?}, {version}", slice.head);
    }
}
