//! Programs below their supervisors: what they are given, what they print, and how they end.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use domain::command_line::CommandLine;
use eventlog::logs::{Channel, MAX_LINE_BYTES};
use switchback_workers::process::{Buffer, Exit, Limits, Program, Refusal, Sink, SpawnError};

use crate::installation::{Installation, LIMIT, STAND_IN, program, until};
use crate::recorder::Recorder;

fn texts(lines: &[(Channel, String)]) -> Vec<&str> {
    lines.iter().map(|(_, text)| text.as_str()).collect()
}

fn refusal(result: Result<impl std::fmt::Debug, SpawnError>) -> Refusal {
    match result {
        Err(SpawnError::Refused(refusal)) => refusal,
        other => panic!("it was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_program_runs_with_its_arguments_in_its_directory() {
    let installation = Installation::new();
    let hostile = ["a b", "", "$HOME", "; id", "`id`", "--", "ä", "\"'", "*", "~", "launch"];
    let (exit, lines) = installation.run(program(&[&["arguments"], &hostile[..]].concat())).await;
    assert_eq!(exit, Exit::Status(0));
    assert_eq!(texts(&lines), [format!("{hostile:?}")]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let (_, lines) = installation.run(program(&["directory"]).directory(&path)).await;
    assert_eq!(texts(&lines), [path.to_str().unwrap()]);
}

#[tokio::test]
async fn its_environment_is_what_it_was_given_and_the_mark() {
    let installation = Installation::new();
    let environment = BTreeMap::from([
        ("A".to_owned(), "x y\nz='\"$".to_owned()),
        ("EMPTY".to_owned(), String::new()),
        ("SWITCHBACK_PROCESS".to_owned(), "somebody else's".to_owned()),
    ]);
    let (_, lines) = installation.run(program(&["environment"]).environment(environment)).await;
    let mark = format!("SWITCHBACK_PROCESS={}/test/program+", installation.id);
    assert_eq!(texts(&lines)[..3], ["A=x y", "z='\"$", "EMPTY="]);
    assert!(lines.len() == 4 && lines[3].1.starts_with(&mark), "{lines:?}");
}

#[tokio::test]
async fn no_value_of_a_variable_is_in_an_argument_of_any_process() {
    let installation = Installation::new();
    let secret = uuid::Uuid::now_v7().to_string();
    let environment = BTreeMap::from([("TOKEN".to_owned(), secret.clone())]);
    let (recorder, output, _stored) = Recorder::start();
    let program = program(&["sleep"]).environment(environment);
    let child = installation.supervisor.spawn(program, &output).await.unwrap();
    recorder.wait_for("ready", 1).await;
    let mut seen = 0;
    for process in procfs::process::all_processes().unwrap().filter_map(Result::ok) {
        let Ok(words) = process.cmdline() else { continue };
        assert!(!words.iter().any(|word| word.contains(&secret)), "{words:?}");
        seen += usize::from(words.iter().any(|word| word == "supervise"));
    }
    assert!(seen > 0, "the supervisor was not looked at");
    child.kill().await;
}

#[tokio::test]
async fn standard_input_is_empty_and_there_are_no_other_open_files() {
    let installation = Installation::new();
    let (recorder, child, _stored) = installation.spawn(&["sleep"]).await;
    recorder.wait_for("ready", 1).await;
    let files = open_files(procfs::process::Process::new(child.pid().cast_signed()).unwrap());
    assert!(files[&0].contains("/dev/null"), "{files:?}");
    // What this test process was started with itself is passed on, when whoever did so left it open.
    let ours = open_files(procfs::process::Process::myself().unwrap());
    let new: Vec<_> = files.iter().filter(|(fd, target)| **fd > 2 && ours.get(fd) != Some(target)).collect();
    assert!(new.is_empty(), "{new:?}");
    child.kill().await;
}

fn open_files(process: procfs::process::Process) -> BTreeMap<i32, String> {
    let files = process.fd().unwrap().filter_map(Result::ok);
    files.map(|file| (file.fd, format!("{:?}", file.target))).collect()
}

#[tokio::test]
async fn a_program_may_not_gain_privileges_and_leaves_no_core() {
    let installation = Installation::new();
    let (recorder, output, _stored) = Recorder::start();
    let limits = Limits { open_files_max: Some(77), file_bytes: Some(4096), ..Limits::default() };
    let child = installation.supervisor.spawn(program(&["sleep"]).limits(limits), &output).await.unwrap();
    recorder.wait_for("ready", 1).await;
    let process = procfs::process::Process::new(child.pid().cast_signed()).unwrap();
    assert_eq!(process.status().unwrap().nonewprivs, Some(1));
    let set = process.limits().unwrap();
    for (limit, expected) in
        [(set.max_core_file_size, 0), (set.max_open_files, 77), (set.max_file_size, 4096)]
    {
        for value in [limit.soft_limit, limit.hard_limit] {
            assert!(matches!(value, procfs::process::LimitValue::Value(value) if value == expected));
        }
    }
    child.kill().await;
}

#[tokio::test]
async fn a_program_ends_with_a_status_or_by_a_signal() {
    let installation = Installation::new();
    for (words, said) in [
        (["exit", "0"], "exit status 0"),
        (["exit", "3"], "exit status 3"),
        (["signal", "9"], "signal 9 (SIGKILL)"),
        (["signal", "6"], "signal 6 (SIGABRT)"),
    ] {
        let (exit, _) = installation.run(program(&words)).await;
        assert_eq!(exit.to_string(), said);
    }
}

#[tokio::test]
async fn programs_of_a_line_run_one_after_the_other_until_one_fails() {
    let installation = Installation::new();
    let line = |text: &str| {
        let text = text.replace('@', &format!("{STAND_IN} program"));
        let command: CommandLine = text.parse().unwrap();
        Program { invocations: command.invocations(&BTreeMap::new()), ..program(&[]) }
    };
    let (exit, lines) = installation.run(line("@ print a && cd usr && X=1 @ directory && @ print b")).await;
    assert_eq!((exit, texts(&lines)), (Exit::Status(0), vec!["a", "/usr", "b"]));
    let (exit, lines) = installation.run(line("@ print a && @ exit 7 && @ print b")).await;
    assert_eq!((exit, texts(&lines)), (Exit::Status(7), vec!["a"]));
    let (exit, lines) = installation.run(line("@ print a && ./none && @ print b")).await;
    assert!(matches!(exit, Exit::NotStarted(Refusal::NotFound { .. })), "{exit}");
    assert_eq!(texts(&lines), ["a"]);
}

#[tokio::test]
async fn a_program_that_is_not_there_is_refused_by_name() {
    let installation = Installation::new();
    let spawn = async |program| {
        refusal(installation.supervisor.spawn_into(program, Sink::Nothing, Sink::Nothing).await)
    };
    let environment = BTreeMap::from([("PATH".to_owned(), "/nowhere::bin:/usr/none".to_owned())]);
    let program = Program::new("test", ["gunicorn"]).directory("/usr").environment(environment);
    assert_eq!(
        spawn(program).await.to_string(),
        "there is no program `gunicorn`; it was looked for in /nowhere, /usr/bin, /usr/none"
    );
    let program = Program::new("test", ["./start.sh"]).directory("/usr");
    assert_eq!(
        spawn(program).await.to_string(),
        "there is no program `./start.sh`; it was looked for in /usr/./start.sh"
    );
    let program = Program::new("test", ["x"]).directory("/usr/none");
    assert!(matches!(spawn(program).await, Refusal::Directory { .. }));
    let program = Program::new("test", [STAND_IN, "a\0b"]).directory("/");
    assert!(matches!(spawn(program).await, Refusal::Failed { .. }));
}

#[tokio::test]
async fn a_file_that_cannot_be_run_is_refused_with_the_reason() {
    let installation = Installation::new();
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("start");
    let spawn = async || {
        let program = Program::new("test", ["./start"]).directory(directory.path());
        refusal(installation.supervisor.spawn_into(program, Sink::Nothing, Sink::Nothing).await)
    };
    std::fs::write(&script, "#!/none/python\n").unwrap();
    assert!(matches!(spawn().await, Refusal::NotExecutable { .. }));
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(spawn().await, Refusal::NoInterpreter { .. }));
}

#[tokio::test]
async fn a_program_that_is_still_being_written_is_waited_for() {
    let installation = Installation::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("program");
    std::fs::copy(STAND_IN, &file).unwrap();
    let writer = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    let start = installation
        .run(Program::new("test", ["./program", "program", "exit", "3"]).directory(directory.path()));
    let write = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(writer);
    };
    let ((exit, _), ()) = tokio::join!(start, write);
    assert_eq!(exit, Exit::Status(3));
}

#[tokio::test]
async fn what_is_not_described_is_not_started() {
    let installation = Installation::new();
    for program in [
        Program::new("", ["x"]),
        Program::new("a b", ["x"]),
        Program::new("x".repeat(151), ["x"]),
        Program::new("test", [""; 0]),
        Program { name: "test".into(), ..Program::default() },
    ] {
        let started = installation.supervisor.spawn_into(program, Sink::Nothing, Sink::Nothing).await;
        assert!(matches!(started, Err(SpawnError::Undescribed(_))), "{started:?}");
    }
    let nobody = switchback_workers::process::Supervisor::new("/none", "test");
    let started = nobody.spawn_into(program(&["sleep"]), Sink::Nothing, Sink::Nothing).await;
    assert!(matches!(started, Err(SpawnError::Supervisor { .. })), "{started:?}");
}

#[tokio::test]
async fn lines_are_complete_and_in_order() {
    let installation = Installation::new();
    let (_, lines) = installation.run(program(&["print", "one", "", "three"])).await;
    assert_eq!(lines, ["one", "", "three"].map(|text| (Channel::Out, text.to_owned())));
    let (_, lines) = installation.run(program(&["complain", "oh"])).await;
    assert_eq!(lines, [(Channel::Err, "oh".to_owned())]);
    let (_, lines) = installation.run(program(&["raw", "no end"])).await;
    assert_eq!(texts(&lines), ["no end"]);
    let (_, lines) = installation.run(program(&["raw", &"x".repeat(40_000)])).await;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].1.len(), MAX_LINE_BYTES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_lines_arrive_and_do_not_pile_up() {
    let installation = Installation::new();
    let begin = memory_peak_bytes();
    let (recorder, output, stored) = Recorder::counting();
    let child = installation.supervisor.spawn(program(&["flood", "1000000"]), &output).await.unwrap();
    drop(output);
    assert_eq!(child.wait().await, Exit::Status(0));
    stored.await.unwrap();
    assert_eq!(recorder.count(), 1_000_000);
    assert_eq!(recorder.lines(), ["line 999999"]);
    let grown = memory_peak_bytes().saturating_sub(begin);
    // A million lines that wait would be more than this; other tests run in this process too.
    assert!(grown < 100 << 20, "{grown} bytes");
}

#[tokio::test]
async fn a_program_that_prints_faster_than_lines_are_stored_is_slowed_down() {
    let installation = Installation::new();
    let (recorder, output, stored) = Recorder::blocked();
    let child = installation.supervisor.spawn(program(&["flood", "100000"]), &output).await.unwrap();
    drop(output);
    let waits = || {
        let process = procfs::process::Process::new(child.pid().cast_signed()).unwrap();
        process.stat().is_ok_and(|stat| stat.state == 'S')
    };
    until("it waits for somebody to read", waits).await;
    assert_eq!((child.exit(), recorder.count()), (None, 0));
    recorder.unblock();
    assert_eq!(child.wait().await, Exit::Status(0));
    stored.await.unwrap();
    assert_eq!(recorder.count(), 100_000);
}

/// The most memory this process ever had.
fn memory_peak_bytes() -> u64 {
    procfs::process::Process::myself().unwrap().status().unwrap().vmhwm.unwrap() * 1024
}

#[tokio::test]
async fn an_output_is_kept_as_it_is_up_to_a_limit() {
    let installation = Installation::new();
    let (out, err) = (Buffer::new(10), Buffer::new(10));
    let sinks = (Sink::Bytes(out.clone()), Sink::Bytes(err.clone()));
    let child =
        installation.supervisor.spawn_into(program(&["flood", "100000"]), sinks.0, sinks.1).await.unwrap();
    assert_eq!(child.wait().await, Exit::Status(0));
    assert!(out.is_full() && !err.is_full());
    assert_eq!((out.take(), err.take()), (b"line 0\nlin".to_vec(), vec![]));
}

#[tokio::test]
async fn a_program_that_is_stopped_may_finish_what_it_does() {
    let installation = Installation::new();
    let (recorder, child, _stored) = installation.spawn(&["graceful"]).await;
    recorder.wait_for("ready", 1).await;
    assert_eq!(child.stop(LIMIT).await, Exit::Status(0));
    assert_eq!(recorder.wait_for("finished", 1).await.len(), 1);
}

#[tokio::test]
async fn a_program_that_does_not_want_to_end_is_killed_after_the_grace() {
    let installation = Installation::new();
    let (recorder, child, _stored) = installation.spawn(&["stubborn"]).await;
    recorder.wait_for("ready", 1).await;
    let exit = child.stop(Duration::from_millis(200)).await;
    assert_eq!(exit, Exit::Signal { number: 9, out_of_memory: false });
    assert_eq!(child.stop(LIMIT).await, exit, "a second time it has ended already");
    assert_eq!(recorder.wait_for("no", 1).await.len(), 1, "it was asked first");
}

#[tokio::test]
async fn memory_is_limited_where_there_are_control_groups() {
    let installation = Installation::new();
    let (_recorder, output, _stored) = Recorder::start();
    let limits = Limits { memory_bytes: Some(32 << 20), ..Limits::default() };
    let child =
        installation.supervisor.spawn(program(&["eat", "256"]).limits(limits), &output).await.unwrap();
    let exit = child.wait().await;
    if child.unlimited().is_empty() {
        assert_eq!(exit, Exit::Signal { number: 9, out_of_memory: true });
        assert!(exit.to_string().ends_with("its memory limit was reached"));
    } else {
        // This user may make no groups: it is said, and the program runs.
        assert_eq!((child.unlimited(), exit), (&["memory".to_owned()][..], Exit::Status(0)));
    }
}

#[tokio::test]
async fn processes_are_limited_where_there_are_control_groups() {
    let installation = Installation::new();
    let (_recorder, output, _stored) = Recorder::start();
    let limits = Limits { processes_max: Some(1), cpu_millis: Some(500), ..Limits::default() };
    let child =
        installation.supervisor.spawn(program(&["orphans", "1"]).limits(limits), &output).await.unwrap();
    if child.unlimited().is_empty() {
        assert_eq!(child.wait().await, Exit::Status(70), "it could not start another process");
    }
    child.kill().await;
}
