//! Nothing that a program started outlives it, whatever it did to get away and whoever was killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use switchback_workers::process::{Exit, Sink};

use crate::installation::{Installation, STAND_IN, groups, program, until};

/// How many processes a family is that try to get away from the first of it.
const ESCAPED: usize = 4;

fn tag() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The processes that have the tag among their arguments and play one of these programs.
fn playing(tag: &str, programs: &[&str]) -> Vec<i32> {
    let processes = procfs::process::all_processes().unwrap().filter_map(Result::ok);
    let is_one = |words: Vec<String>| {
        words.iter().any(|word| word == tag)
            && words.get(2).is_some_and(|word| programs.contains(&word.as_str()))
    };
    processes.filter(|process| process.cmdline().is_ok_and(is_one)).map(|process| process.pid).collect()
}

/// All of a family.
fn members(tag: &str) -> Vec<i32> {
    playing(tag, &["stubborn", "family"])
}

/// Waits until all that try to get away have done so.
async fn all_escaped(tag: &str) {
    until("all have got away", || playing(tag, &["stubborn"]).len() == ESCAPED).await;
}

async fn count(count: usize, tag: &str) {
    until(&format!("there are {count} of them"), || members(tag).len() == count).await;
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// A platform in a process of its own, with a program that it started.
struct Platform {
    process: std::process::Child,
    supervisor: u32,
    program: u32,
}

impl Platform {
    fn start(installation: &Installation, words: &[&str]) -> Self {
        let mut command = Command::new(STAND_IN);
        command.args(["platform", &installation.id, STAND_IN, "program"]).args(words).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (supervisor, program) = line.trim().split_once(' ').expect("two process ids");
        Self { process, supervisor: supervisor.parse().unwrap(), program: program.parse().unwrap() }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[tokio::test]
async fn a_family_that_is_stopped_is_gone_when_that_returns() {
    let (installation, tag) = (Installation::new(), tag());
    let (recorder, child, _stored) = installation.spawn(&["family", &tag, "hidden"]).await;
    recorder.wait_for("ready", ESCAPED + 1).await;
    assert_eq!(members(&tag).len(), ESCAPED + 1);
    child.stop(Duration::from_millis(50)).await;
    assert_eq!(members(&tag), [0; 0]);
}

#[tokio::test]
async fn what_a_program_leaves_when_it_ends_is_gone_when_that_is_told() {
    let (installation, tag) = (Installation::new(), tag());
    let (_recorder, child, _stored) = installation.spawn(&["leave", &tag]).await;
    assert_eq!(child.wait().await, Exit::Status(0));
    assert_eq!(members(&tag), [0; 0]);
}

#[tokio::test]
async fn a_program_that_nobody_holds_any_more_is_killed() {
    let (installation, tag) = (Installation::new(), tag());
    let (_recorder, child, _stored) = installation.spawn(&["family", &tag, "hidden"]).await;
    all_escaped(&tag).await;
    drop(child);
    count(0, &tag).await;
    installation.gone().await;
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing() {
    let (installation, tag) = (Installation::new(), tag());
    for millis in [0, 1, 2, 4, 8, 16, 32] {
        let program = program(&["family", &tag, "hidden"]);
        let start = installation.supervisor.spawn_into(program, Sink::Nothing, Sink::Nothing);
        let _ = tokio::time::timeout(Duration::from_millis(millis), start).await;
    }
    installation.gone().await;
    count(0, &tag).await;
}

#[tokio::test]
async fn everything_dies_with_the_platform() {
    let (installation, tag) = (Installation::new(), tag());
    let mut platform = Platform::start(&installation, &["family", &tag, "hidden"]);
    all_escaped(&tag).await;
    platform.kill();
    count(0, &tag).await;
    installation.gone().await;
}

#[tokio::test]
async fn a_supervisor_that_is_killed_is_noticed_and_nothing_of_its_program_stays() {
    let (installation, tag) = (Installation::new(), tag());
    let (_recorder, child, _stored) = installation.spawn(&["family", &tag]).await;
    all_escaped(&tag).await;
    kill(child.supervisor_pid(), Signal::KILL);
    assert_eq!(child.wait().await, Exit::Lost);
    assert_eq!(members(&tag), [0; 0]);
}

#[tokio::test]
async fn a_program_dies_with_its_supervisor() {
    let installation = Installation::new();
    let mut platform = Platform::start(&installation, &["sleep"]);
    kill(platform.process.id(), Signal::STOP); // So that it is not the platform that clears up.
    kill(platform.supervisor, Signal::KILL);
    let program = || procfs::process::Process::new(platform.program.cast_signed());
    until("the program is dead", || !program().is_ok_and(|process| process.is_alive())).await;
    platform.kill();
}

#[tokio::test]
async fn what_is_left_of_platform_and_supervisor_is_found_by_the_next_platform() {
    let (installation, tag) = (Installation::new(), tag());
    let mut platform = Platform::start(&installation, &["sleep"]);
    // Without groups nothing finds a process that has neither its mark nor its parents any more.
    let has_groups = !groups(&installation.id).is_empty();
    platform.kill();
    installation.gone().await;
    let hidden = if has_groups { &["hidden"][..] } else { &[] };
    let mut platform = Platform::start(&installation, &[&["family", &tag], hidden].concat());
    all_escaped(&tag).await;
    kill(platform.supervisor, Signal::STOP); // So that it cannot clear up.
    platform.kill();
    kill(platform.supervisor, Signal::KILL);
    count(ESCAPED, &tag).await; // The program itself dies with its supervisor.
    assert_eq!(
        installation.supervisor.sweep(|name| name == "test/program").unwrap(),
        [].into(),
        "it is kept"
    );
    assert_eq!(members(&tag).len(), ESCAPED);
    assert_eq!(installation.supervisor.sweep(|_| false).unwrap(), ["test/program".to_owned()].into());
    assert_eq!(members(&tag), [0; 0]);
    assert_eq!(groups(&installation.id), Vec::<String>::new());
}

#[tokio::test]
async fn a_supervisor_that_hangs_is_killed_with_its_program() {
    let (installation, tag) = (Installation::new(), tag());
    let (_recorder, child, _stored) = installation.spawn(&["family", &tag]).await;
    all_escaped(&tag).await;
    kill(child.supervisor_pid(), Signal::STOP);
    assert_eq!(child.kill().await, Exit::Lost);
    assert_eq!(members(&tag), [0; 0]);
}

#[tokio::test]
async fn processes_that_nobody_waits_for_do_not_pile_up() {
    let installation = Installation::new();
    let (recorder, child, _stored) = installation.spawn(&["orphans", "20"]).await;
    recorder.wait_for("ready", 1).await;
    let supervisor = child.supervisor_pid().cast_signed();
    let is_child = |stat: procfs::process::Stat| stat.ppid == supervisor;
    let processes = || procfs::process::all_processes().unwrap().filter_map(Result::ok);
    let children = || processes().filter(|process| process.stat().is_ok_and(is_child)).count();
    until("only the program is left", || children() == 1).await;
    child.kill().await;
}
