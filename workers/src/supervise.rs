//! A supervisor: a small process of its own that runs one program (or several, one after the other) for the
//! platform, and lets nothing of it live longer than it should.
//!
//! `Waiting for its specification → Running → Stopping → Clearing → gone`. It is the hidden subcommand
//! `supervise` of the platform's executable. Nothing that a program started outlives the supervisor's end,
//! whatever it did to get away (other sessions, double forks, ignored signals): the supervisor is the
//! *subreaper* of all of it (prctl(2)), so it sees and kills every descendant. The platform's death closes
//! the control socket, and that kills everything at once. (It is not `PR_SET_PDEATHSIG`, which means the
//! death of the *thread* that started a process: threads of the platform come and go.)
//!
//! No value of a variable is ever in an argument of a process: specifications come through the socket, see
//! [`protocol`]. One thread, no asynchronous runtime, and little memory: there is one for each running
//! program.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, WaitStatus};

use crate::process::cgroup::Groups;
use crate::process::tree::{self, Seen};
use crate::supervise::protocol::{Exit, Launch, Limits, Order, Refusal, Report, Specification};

mod launch;
pub(crate) mod protocol;

/// How often ended processes that nobody waits for are cleared away while a program runs.
const REAP_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether a process group has ended, once it was asked to.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often killed processes are looked for again.
const CLEAR_EVERY: Duration = Duration::from_millis(2);
/// When it gives up on processes that do not end although they were killed (they hang in the kernel).
const CLEAR_LIMIT: Duration = Duration::from_secs(10);
/// How long starting a program may take.
const LAUNCH_LIMIT: Duration = Duration::from_secs(30);
/// The word by which a supervisor calls itself to start a program.
const LAUNCH: &str = "launch";

/// What the hidden subcommand `supervise` does. Its standard input is the control socket; the program gets
/// its standard output and error. To be called before anything else of the executable is set up.
#[must_use]
pub fn main() -> ExitCode {
    let is_launch = std::env::args_os().next_back().is_some_and(|word| word == LAUNCH);
    let result = if is_launch { launch::main() } else { supervise() };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // The platform sees the socket close, and clears up.
        Err(_) => ExitCode::FAILURE,
    }
}

fn supervise() -> io::Result<()> {
    let mut control = take_control()?;
    let specification: Specification = read_message(&mut control)?;
    control.set_nonblocking(true)?;
    // A session of its own: no terminal, and no signals from one.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    restrict_self(&Limits::default());
    let _ = rustix::thread::set_name(c"sb-supervise");
    let (groups, unlimited) = Groups::make(&specification.mark, &specification.limits);
    let mut supervisor = Supervisor {
        control,
        mark: specification.mark,
        limits: specification.limits,
        groups,
        wish: Wish::Run,
        main: None,
        main_status: None,
        unlimited,
        is_started: false,
    };
    let exit = supervisor.run(specification.programs);
    // Whatever went wrong: nothing is left behind.
    let left = supervisor.clear()?;
    supervisor.report(&Report::Ended { exit: supervisor.explain(exit?), left });
    supervisor.groups.remove();
    Ok(())
}

/// What the platform wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    End,
    Kill,
}

struct Supervisor {
    control: UnixStream,
    mark: String,
    limits: Limits,
    groups: Groups,
    wish: Wish,
    /// The program that runs or ran last, the leader of its group.
    main: Option<Pid>,
    main_status: Option<WaitStatus>,
    unlimited: Vec<String>,
    is_started: bool,
}

impl Supervisor {
    /// Runs the programs, until one fails or the platform does not want them any more. How the last one
    /// ended, when that is known by now.
    fn run(&mut self, programs: Vec<Launch>) -> io::Result<Option<Exit>> {
        let mut exit = None;
        for program in programs {
            if self.wish != Wish::Run {
                // Asked to end between two of them: the rest counts as ended by that.
                let signal = if self.wish == Wish::End { Signal::TERM } else { Signal::KILL };
                return Ok(Some(Exit::Signal { number: signal.as_raw(), out_of_memory: false }));
            }
            if let Err(refusal) = self.start(program)? {
                return Ok(Some(Exit::NotStarted(refusal)));
            }
            exit = self.watch()?;
            if exit != Some(Exit::Status(0)) {
                break;
            }
        }
        Ok(exit)
    }

    /// Starts a program and reports the first.
    fn start(&mut self, launch: Launch) -> io::Result<Result<(), Refusal>> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("switchback").args(["supervise", LAUNCH]);
        command.env_clear().env(crate::process::MARK, &self.mark);
        command.stdin(OwnedFd::from(theirs)).process_group(0);
        let child = command.spawn()?;
        drop(command); // It holds their end of the socket.
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        (self.main, self.main_status) = (pid, None);

        let order =
            Order { parent: std::process::id(), launch, limits: self.limits, join: self.groups.join() };
        ours.set_read_timeout(Some(LAUNCH_LIMIT))?;
        ours.set_write_timeout(Some(LAUNCH_LIMIT))?;
        write_message(&mut ours, &order)?;
        // The launcher's end is closed by a successful exec(2); until then it may say what was wrong.
        match read_message(&mut ours) {
            Ok(refusal) => return Ok(Err(refusal)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(error),
        }
        if !self.is_started {
            self.is_started = true;
            self.report(&Report::Started { pid: child.id(), unlimited: self.unlimited.clone() });
        }
        Ok(Ok(()))
    }

    /// Waits until the program has ended, and does what the platform wants meanwhile. When that is to kill
    /// it, nothing is answered yet.
    fn watch(&mut self) -> io::Result<Option<Exit>> {
        let Some(main) = self.main else { return Ok(None) };
        let descriptor = rustix::process::pidfd_open(main, PidfdFlags::empty())?;
        while self.main_status.is_none() && self.wish != Wish::Kill {
            wait(&[self.control.as_fd(), descriptor.as_fd()], REAP_EVERY)?;
            self.listen();
            self.reap()?;
        }
        // A program that was asked to end may do so in several processes, of which the first is gone already.
        while self.wish == Wish::End && self.group_lives(main)? {
            wait(&[self.control.as_fd()], LOOK_EVERY)?;
            self.listen();
            self.reap()?;
        }
        Ok(self.main_status.map(exit_of))
    }

    /// Reads commands, as far as there are any, and carries them out.
    fn listen(&mut self) {
        let mut commands = [0; 16];
        loop {
            let read = self.control.read(&mut commands);
            match read {
                // The platform is gone.
                Ok(0) => return self.wish = Wish::Kill,
                Ok(length) => commands[..length].iter().for_each(|command| self.obey(*command)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.wish = Wish::Kill,
            }
        }
    }

    fn obey(&mut self, command: u8) {
        match command {
            protocol::TERM if self.wish == Wish::Run => {
                self.wish = Wish::End;
                if let Some(main) = self.main {
                    let _ = rustix::process::kill_process_group(main, Signal::TERM);
                }
            }
            protocol::KILL => self.wish = Wish::Kill,
            _ => {}
        }
    }

    /// Clears away what has ended. Whether there are any children left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if Some(pid) == self.main => self.main_status = Some(status),
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return Ok(true),
                Err(rustix::io::Errno::CHILD) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn group_lives(&self, leader: Pid) -> io::Result<bool> {
        let leader = leader.as_raw_nonzero().get();
        Ok(descendants()?.iter().any(|seen| seen.group == leader && !seen.is_zombie))
    }

    /// Kills whatever is left, until nothing is. Answers with what the kernel does not let go of.
    fn clear(&mut self) -> io::Result<Vec<u32>> {
        let begin = Instant::now();
        let mut left: Vec<Seen> = vec![];
        // Whoever has no children has no descendants either, as those whose parents end become its children.
        while self.reap()? {
            if begin.elapsed() > CLEAR_LIMIT {
                return Ok(left.iter().map(|seen| seen.pid.unsigned_abs()).collect());
            }
            self.groups.kill();
            left = descendants()?.into_iter().filter(|seen| !seen.is_zombie).collect();
            left.iter().for_each(|seen| seen.kill());
            std::thread::sleep(CLEAR_EVERY);
        }
        Ok(vec![])
    }

    /// How it ended, now that nothing of it is left.
    fn explain(&self, exit: Option<Exit>) -> Exit {
        match exit.or_else(|| self.main_status.map(exit_of)) {
            Some(Exit::Signal { number, .. }) => {
                Exit::Signal { number, out_of_memory: self.groups.ran_out_of_memory() }
            }
            Some(exit) => exit,
            None => Exit::Lost,
        }
    }

    fn report(&mut self, report: &Report) {
        // When nobody listens, the platform is gone, and that is noticed where commands are read.
        let _ = self.control.set_nonblocking(false);
        let _ = write_message(&mut self.control, report);
        let _ = self.control.set_nonblocking(true);
    }
}

/// Everything that comes from this process.
fn descendants() -> io::Result<Vec<Seen>> {
    let this = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    Ok(tree::family(&tree::all()?, [this]).into_iter().filter(|seen| seen.pid != this).collect())
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Exit::Status(status),
        (None, Some(number)) => Exit::Signal { number, out_of_memory: false },
        (None, None) => Exit::Lost,
    }
}

/// Waits until one of the descriptors has something to say, for `limit` at most.
fn wait(descriptors: &[impl AsFd], limit: Duration) -> io::Result<()> {
    let mut polled: Vec<PollFd<'_>> = descriptors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    match poll(&mut polled, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes the control socket from standard input, so that no program inherits it, and leaves `/dev/null`
/// there.
fn take_control() -> io::Result<UnixStream> {
    let control = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(UnixStream::from(control))
}

/// Limits of a process that its children inherit.
fn restrict_self(limits: &Limits) {
    // None of these can fail for a reason that a program should not be started for.
    let _ = rustix::thread::set_no_new_privs(true);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(Resource::Core, none);
    let all = [(Resource::Nofile, limits.open_files_max), (Resource::Fsize, limits.file_bytes)];
    for (resource, limit) in all {
        let Some(limit) = limit else { continue };
        let most = rustix::process::getrlimit(resource).maximum.map_or(limit, |most| most.min(limit));
        let _ = rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
}

fn read_message<T: serde::de::DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > protocol::MAX_MESSAGE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length as usize];
    from.read_exact(&mut message)?;
    Ok(serde_json::from_slice(&message)?)
}

fn write_message(to: &mut impl Write, message: &impl serde::Serialize) -> io::Result<()> {
    to.write_all(&protocol::message(message)?)
}
