//! The programs that tests start. Each says `ready` when it has done what it is for.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process, setsid};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) fn run(name: &str, words: &[&str]) -> ExitCode {
    let result = match (name, words) {
        ("exit", [status]) => return ExitCode::from(status.parse().unwrap_or(99)),
        ("signal", [number]) => end_by(number),
        ("print", lines) => lines.iter().try_for_each(|line| say(line)),
        ("complain", [text]) => writeln!(io::stderr(), "{text}"),
        ("raw", [text]) => io::stdout().write_all(text.as_bytes()),
        ("arguments", words) => say(&format!("{words:?}")),
        ("environment", []) => environment(),
        ("directory", []) => std::env::current_dir().and_then(|path| say(&path.display().to_string())),
        ("flood", [count]) => flood(count.parse().unwrap_or_default()),
        ("sleep", []) => forever(),
        ("stubborn", _) => stubborn(),
        ("graceful", []) => graceful(),
        ("nohup", rest) => detached(rest, false),
        ("daemon", rest) => detached(rest, true),
        ("family", [tag, rest @ ..]) => family(tag, rest.contains(&"hidden")).and_then(|()| stubborn()),
        ("leave", [tag]) => family(tag, true),
        ("orphans", [count]) => orphans(count.parse().unwrap_or_default()),
        ("listen", rest) => listen(rest.first().copied()),
        ("eat", [megabytes]) => eat(megabytes.parse().unwrap_or_default()),
        ("touch", [file, rest @ ..]) => touch(file, rest.contains(&"wait")),
        _ => return ExitCode::from(64),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(70)
        }
    }
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn forever() -> io::Result<()> {
    say("ready")?;
    loop {
        std::thread::park();
    }
}

fn end_by(number: &str) -> io::Result<()> {
    let signal = match number {
        "9" => Signal::KILL,
        "6" => Signal::ABORT,
        _ => Signal::TERM,
    };
    kill_process(getpid(), signal)?;
    forever()
}

fn environment() -> io::Result<()> {
    let mut lines: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    lines.sort();
    lines.iter().try_for_each(|line| say(line))
}

fn flood(count: u64) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    (0..count).try_for_each(|number| writeln!(out, "line {number}"))?;
    out.flush()
}

fn asynchronous<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Takes SIGTERM and does nothing about it; nor does it mind that nobody reads any more what it prints.
fn stubborn() -> io::Result<()> {
    asynchronous(async {
        let mut asked = signal(SignalKind::terminate())?;
        let _ = say("ready");
        loop {
            asked.recv().await;
            let _ = say("no");
        }
    })
}

/// Takes SIGTERM, finishes what it does, and ends.
fn graceful() -> io::Result<()> {
    asynchronous(async {
        let mut asked = signal(SignalKind::terminate())?;
        say("ready")?;
        asked.recv().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        say("finished")
    })
}

/// Starts itself as another program in a session of its own, where the process that did so ends at once (a
/// double fork), and with an empty environment when it is to hide.
fn detached(words: &[&str], hides: bool) -> io::Result<()> {
    if words.first() == Some(&"now") {
        let _ = setsid();
        let mut command = itself(&words[1..])?;
        if hides {
            command.env_clear();
        }
        return command.spawn().map(|_| ());
    }
    let words: Vec<&str> = ["now"].iter().chain(words).copied().collect();
    let name = if hides { "daemon" } else { "nohup" };
    let mut between = itself(&[&[name], &words[..]].concat())?;
    between.spawn()?.wait()?;
    say("detached")
}

/// Everything that tries to get away, at once; none of it ends when asked to. The tag is among their
/// arguments.
fn family(tag: &str, hides: bool) -> io::Result<()> {
    itself(&["stubborn", tag])?.spawn()?;
    itself(&["stubborn", tag])?.process_group(0).spawn()?;
    itself(&["nohup", "stubborn", tag])?.spawn()?.wait()?;
    let last = if hides { "daemon" } else { "nohup" };
    itself(&[last, "stubborn", tag])?.spawn()?.wait()?;
    Ok(())
}

/// Starts processes that end after their parents have.
fn orphans(count: u32) -> io::Result<()> {
    for _ in 0..count {
        itself(&["nohup", "exit", "0"])?.spawn()?.wait()?;
    }
    forever()
}

fn itself(words: &[&str]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("program").args(words);
    Ok(command)
}

/// Listens on the port it was given in `PORT`, or on another one.
fn listen(port: Option<&str>) -> io::Result<()> {
    let port = port.map_or_else(|| std::env::var("PORT").unwrap_or_default(), str::to_owned);
    let listener = TcpListener::bind(("0.0.0.0", port.parse().map_err(io::Error::other)?))?;
    say(&format!("listening on {}", listener.local_addr()?.port()))?;
    forever()
}

fn eat(megabytes: usize) -> io::Result<()> {
    let mut eaten: Vec<Vec<u8>> = vec![];
    for _ in 0..megabytes {
        eaten.push(vec![1; 1 << 20]);
    }
    say(&format!("ate {}", eaten.len()))
}

/// Adds a line to a file; so it is seen how often this ran.
fn touch(file: &str, waits: bool) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file)?;
    writeln!(file, "{}", std::process::id())?;
    if waits { forever() } else { Ok(()) }
}
