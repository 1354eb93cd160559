//! Instances as processes: what they are given, how they are found, how they end, and that nothing of them
//! stays.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use domain::deployment::step::Fence;
use domain::service::release::{Instance, InstanceId};
use switchback_workers::process::{Program, Sink};
use switchback_workers::runtime::process::ProcessRuntime;
use switchback_workers::runtime::{Exit, InstanceRequest, InstanceState, Runtime};

use crate::installation::{Installation, LIMIT, program, until};
use crate::recorder::Recorder;

const FENCE: Fence = Fence(1);
const GRACE: Duration = Duration::from_millis(100);

/// Starts an instance whose lines nobody reads.
async fn start(runtime: &ProcessRuntime, request: &InstanceRequest) -> Instance {
    let output = switchback_workers::output::Output::nowhere();
    runtime.start(FENCE, request, output).await.expect("it starts")
}

async fn exit(exits: &mut tokio::sync::broadcast::Receiver<Exit>) -> Exit {
    tokio::time::timeout(LIMIT, exits.recv()).await.expect("in time").expect("it is told")
}

/// Waits until an instance listens, and says where.
async fn listening(runtime: &ProcessRuntime, id: InstanceId) -> (SocketAddr, Vec<u16>) {
    loop {
        match runtime.state(id).await.unwrap() {
            InstanceState::Running { address } => {
                let listening = runtime.listening(id).await.unwrap();
                if !listening.is_empty() {
                    return (address, listening);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            state @ (InstanceState::Exited { .. } | InstanceState::Absent) => {
                panic!("it does not run: {state:?}")
            }
        }
    }
}

async fn is_gone(installation: &Installation, runtime: &ProcessRuntime) {
    assert_eq!(runtime.list().await.unwrap(), []);
    assert_eq!(installation.left(), Vec::<String>::new());
    assert_eq!(installation.supervisor.names().unwrap(), [].into());
}

/// A line of an environment without the number by which programs of one name are told apart.
fn without_number(line: &str) -> String {
    let mark = line.strip_prefix("SWITCHBACK_PROCESS=").and_then(|mark| mark.split_once('+'));
    mark.map_or_else(|| line.to_owned(), |(name, _)| format!("SWITCHBACK_PROCESS={name}"))
}

#[tokio::test]
async fn an_instance_has_an_environment_and_directories_of_its_own() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let mut exits = runtime.exits();
    let (recorder, output, stored) = Recorder::start();
    let mut request = installation.instance("environment && cd /usr && @ program directory");
    request.environment = installation.environment(&[("A", "x y"), ("PORT", "80")]);
    let instance = runtime.start(FENCE, &request, output).await.unwrap();
    assert_eq!(exit(&mut exits).await, Exit { id: request.id, exit: "exit status 0".into() });
    stored.await.unwrap();
    let own = installation.data.path().join("instances").join(request.id.to_string());
    let (own, files) = (own.display(), installation.files());
    let lines: Vec<String> = recorder.lines().iter().map(|line| without_number(line)).collect();
    assert_eq!(
        lines,
        [
            "A=x y".to_owned(),
            format!("HOME={own}/home"),
            "LANG=C.UTF-8".to_owned(),
            format!("PATH={}/.switchback/bin:/usr/bin:/bin", files.display()),
            format!("PORT={}", instance.address.port()),
            format!("SWITCHBACK_PROCESS={}/instance/{}", installation.id, request.id),
            format!("TMPDIR={own}/tmp"),
            "/usr".to_owned(),
            "the program ended with exit status 0".to_owned(),
        ]
    );
    runtime.stop(request.id, GRACE).await.unwrap();
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn an_instance_runs_in_the_root_of_its_service() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    std::fs::create_dir_all(installation.files().join("api/inner")).unwrap();
    let (recorder, output, stored) = Recorder::start();
    let mut request = installation.instance("directory");
    request.environment.root = "api".into();
    request.start = domain::plan::Start::Command("cd inner && @ program directory".parse().unwrap());
    runtime.start(FENCE, &request, output).await.unwrap();
    stored.await.unwrap();
    assert!(recorder.lines()[0].ends_with("/files/api/inner"), "{:?}", recorder.lines());
    runtime.clean(request.id.deployment).await.unwrap();
}

#[tokio::test]
async fn an_instance_listens_on_its_port_and_keeps_it_when_it_is_free() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let mut request = installation.instance("listen");
    let first = start(&runtime, &request).await;
    assert!(first.address.ip().is_loopback());
    assert_eq!(listening(&runtime, request.id).await, (first.address, vec![first.address.port()]));
    runtime.stop(request.id, GRACE).await.unwrap();
    request.address = Some(first.address);
    assert_eq!(start(&runtime, &request).await, first, "the port is free again");
    let mut other = installation.instance("listen");
    other.address = Some(first.address);
    assert_ne!(start(&runtime, &other).await.address, first.address, "the port is another instance's");
    runtime.stop(request.id, GRACE).await.unwrap();
    runtime.stop(other.id, GRACE).await.unwrap();
    let stranger = TcpListener::bind(first.address).unwrap();
    assert_ne!(start(&runtime, &request).await.address, stranger.local_addr().unwrap());
    runtime.stop(request.id, GRACE).await.unwrap();
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn a_port_that_it_was_not_given_is_seen_even_when_a_detached_process_listens() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let request = installation.instance(&format!("nohup listen {free}"));
    let request = InstanceRequest {
        start: domain::plan::Start::Command(
            format!("@ program nohup listen {free} && @ program sleep").parse().unwrap(),
        ),
        ..request
    };
    let instance = start(&runtime, &request).await;
    assert_ne!(instance.address.port(), free);
    assert_eq!(listening(&runtime, request.id).await, (instance.address, vec![free]));
    runtime.stop(request.id, GRACE).await.unwrap();
    TcpListener::bind(("127.0.0.1", free)).expect("the port is free again");
}

#[tokio::test]
async fn an_instance_that_runs_is_not_started_again() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let file = installation.data.path().join("starts");
    let request = installation.instance(&format!("touch {} wait", file.display()));
    let first = start(&runtime, &request).await;
    assert_eq!(start(&runtime, &request).await, first);
    let both = tokio::join!(start(&runtime, &request), start(&runtime, &request));
    assert_eq!(both, (first, first));
    until("it has run", || std::fs::read_to_string(&file).is_ok_and(|text| text.lines().count() == 1)).await;
    assert_eq!(runtime.list().await.unwrap(), [request.id]);
    runtime.stop(request.id, GRACE).await.unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn an_instance_that_ends_by_itself_is_told_and_can_be_started_again() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let mut exits = runtime.exits();
    let request = installation.instance("signal 9");
    for _ in 0..2 {
        start(&runtime, &request).await;
        let how = "signal 9 (SIGKILL)".to_owned();
        assert_eq!(exit(&mut exits).await, Exit { id: request.id, exit: how.clone() });
        assert_eq!(runtime.state(request.id).await.unwrap(), InstanceState::Exited { exit: how });
        assert_eq!(runtime.list().await.unwrap(), [request.id]);
    }
    runtime.stop(request.id, GRACE).await.unwrap();
    assert_eq!(runtime.state(request.id).await.unwrap(), InstanceState::Absent);
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn an_instance_that_is_stopped_may_finish_and_nobody_is_told() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let mut exits = runtime.exits();
    let (recorder, output, stored) = Recorder::start();
    let request = installation.instance("graceful");
    runtime.start(FENCE, &request, output).await.unwrap();
    recorder.wait_for("ready", 1).await;
    runtime.stop(request.id, LIMIT).await.unwrap();
    stored.await.unwrap();
    assert_eq!(recorder.lines(), ["ready", "finished"]);
    assert!(exits.try_recv().is_err());
    runtime.stop(request.id, LIMIT).await.expect("it is stopped already");
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn a_whole_family_is_gone_when_the_instance_is_stopped() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let (recorder, output, _stored) = Recorder::start();
    let request = installation.instance("family x hidden");
    runtime.start(FENCE, &request, output).await.unwrap();
    recorder.wait_for("ready", 5).await;
    let both = tokio::join!(runtime.stop(request.id, LIMIT), async {
        // A second one that is less patient decides.
        runtime.stop(request.id, GRACE).await
    });
    both.0.unwrap();
    both.1.unwrap();
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn a_worker_that_was_replaced_is_refused() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let request = installation.instance("sleep");
    let start = async |fence| {
        let output = switchback_workers::output::Output::nowhere();
        runtime.start(Fence(fence), &request, output).await
    };
    start(2).await.unwrap();
    let error = start(1).await.unwrap_err();
    assert_eq!((error.code, error.permanent), ("fenced", true));
    start(2).await.unwrap();
    runtime.stop(request.id, GRACE).await.unwrap();
    assert_eq!(start(1).await.unwrap_err().code, "fenced");
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_refused_and_leaves_nothing() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let mut request = installation.instance("sleep");
    request.start = domain::plan::Start::Command("gunicorn app:app".parse().unwrap());
    let output = switchback_workers::output::Output::nowhere();
    let error = runtime.start(FENCE, &request, output.clone()).await.unwrap_err();
    assert_eq!((error.code, error.permanent), ("program_not_found", true));
    assert!(error.message.starts_with("there is no program `gunicorn`; it was looked for in /"));
    request.environment.root = "none".into();
    let error = runtime.start(FENCE, &request, output).await.unwrap_err();
    assert_eq!((error.code, error.permanent), ("runtime_failed", true));
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn a_start_that_is_given_up_is_done_to_its_end() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let request = installation.instance("listen");
    let output = switchback_workers::output::Output::nowhere();
    let given_up = tokio::time::timeout(Duration::ZERO, runtime.start(FENCE, &request, output)).await;
    assert!(given_up.is_err());
    let again = start(&runtime, &request).await;
    assert_eq!(listening(&runtime, request.id).await.0, again.address);
    let given_up = tokio::time::timeout(Duration::ZERO, runtime.stop(request.id, GRACE)).await;
    assert!(given_up.is_err());
    runtime.stop(request.id, GRACE).await.unwrap();
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn cleaning_ends_all_of_a_deployment_and_nothing_else() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let request = installation.instance("stubborn");
    let second = InstanceRequest { id: InstanceId { ordinal: 1, ..request.id }, ..request.clone() };
    let other = installation.instance("sleep");
    for request in [&request, &second, &other] {
        start(&runtime, request).await;
    }
    runtime.clean(request.id.deployment).await.unwrap();
    assert_eq!(runtime.list().await.unwrap(), [other.id]);
    assert_eq!(installation.left(), [other.id.to_string()]);
    runtime.clean(other.id.deployment).await.unwrap();
    runtime.clean(other.id.deployment).await.unwrap();
    is_gone(&installation, &runtime).await;
}

#[tokio::test]
async fn nothing_of_an_earlier_run_survives_the_start() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let request = installation.instance("stubborn");
    start(&runtime, &request).await;
    // What a platform leaves that was killed together with its supervisors: programs in nobody's hands.
    let name = |name: &str| Program { name: name.into(), ..program(&["stubborn"]) };
    let spawn = async |program| {
        installation.supervisor.spawn_into(program, Sink::Nothing, Sink::Nothing).await.unwrap()
    };
    let command = spawn(name("command/x.prepare")).await;
    let build = spawn(name("build/x")).await;
    let second = installation.runtime();
    assert_eq!(installation.supervisor.names().unwrap(), ["build/x".to_owned()].into());
    assert_eq!(second.list().await.unwrap(), [request.id], "its directory is there");
    assert_eq!(second.state(request.id).await.unwrap(), InstanceState::Absent);
    second.stop(request.id, GRACE).await.unwrap();
    assert_eq!(command.wait().await, switchback_workers::process::Exit::Lost);
    build.kill().await;
    is_gone(&installation, &second).await;
}

#[tokio::test]
async fn a_runtime_that_is_closed_lets_its_instances_finish_and_starts_none() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    let mut exits = runtime.exits();
    let (recorder, output, _stored) = Recorder::start();
    let requests = [installation.instance("graceful"), installation.instance("graceful")];
    for request in &requests {
        runtime.start(FENCE, request, output.clone()).await.unwrap();
    }
    recorder.wait_for("ready", 2).await;
    runtime.close(LIMIT).await;
    recorder.wait_for("finished", 2).await;
    assert_eq!(installation.supervisor.names().unwrap(), [].into());
    assert!(exits.try_recv().is_err(), "nobody is told");
    assert_eq!(runtime.start(FENCE, &requests[0], output).await.unwrap_err().code, "runtime_failed");
    assert_eq!(installation.left().len(), 2, "the next run finds their files");
}

#[tokio::test]
async fn a_runtime_that_is_dropped_takes_its_instances_with_it() {
    let installation = Installation::new();
    let runtime = installation.runtime();
    start(&runtime, &installation.instance("family x hidden")).await;
    let child_is_held_by = runtime.clone();
    drop(runtime);
    assert!(!installation.supervisor.names().unwrap().is_empty());
    drop(child_is_held_by);
    installation.gone().await;
}
