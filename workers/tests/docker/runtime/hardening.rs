//! What a program finds when it looks around in its container, and tries what it should not.

use domain::secret::Secret;
use workers::runtime::Runtime;

use crate::runtime::stage::{GRACE, Stage, until};

const LOOK: &str = r#"
echo "socket: $(find / -xdev -name 'docker.sock' -o -name 'containerd.sock' 2>/dev/null)"
grep -E '^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\t' ' '
echo "pids: $(ps | wc -l)"
echo "root: $(cat /proc/1/root/etc/passwd | head -n1)"
echo "mounts: $(mount | grep -cE ' / .*\(ro' )"
touch /here 2>&1; touch /etc/here 2>&1; touch /tmp/here && echo "tmp: ok"
echo "devices: $(ls /dev | tr '\n' ' ')"
mount -t proc none /tmp 2>&1; chroot / true 2>&1; hostname other 2>&1; mknod /tmp/m c 1 1 2>&1
cat /proc/kcore >/dev/null 2>&1 || echo "kcore: no"
echo 1 > /proc/sys/kernel/panic 2>/dev/null || echo "sysctl: no"
echo b > /proc/sysrq-trigger 2>/dev/null || echo "sysrq: no"
for d in /sys/fs/cgroup/*/; do echo x > $d/release_agent 2>/dev/null && echo "release_agent: WRITTEN"; done
mkdir /tmp/c; mount -t cgroup -o memory none /tmp/c 2>/dev/null && echo "cgroup: MOUNTED"
unshare -Ur true 2>&1
ulimit -n; ulimit -c
"#;

#[tokio::test]
async fn a_container_has_nothing_of_the_host() {
    let stage = Stage::new();
    let mut request = stage.script(LOOK);
    request.environment.read_only = true;
    let (exit, printed) = stage.run(&request).await;
    let text = printed.join("\n");
    assert!(exit.exit.starts_with("exit status"), "{exit:?}");
    for expected in [
        "socket: \n",
        // NET_BIND_SERVICE alone: bit 10.
        "CapBnd: 0000000000000400",
        "CapEff: 0000000000000400",
        "CapAmb: 0000000000000000",
        "NoNewPrivs: 1",
        "Seccomp: 2",
        "mounts: 1",
        "touch: /here: Read-only file system",
        "touch: /etc/here: Read-only file system",
        "tmp: ok",
        "chroot: can't change root directory to '/': Operation not permitted",
        "hostname: sethostname: Operation not permitted",
        "mknod: /tmp/m: Operation not permitted",
        "kcore: no",
        "sysctl: no",
        "sysrq: no",
        "16384\n0",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains("WRITTEN") && !text.contains("MOUNTED"), "{text}");
    let devices = printed.iter().find(|line| line.starts_with("devices: ")).unwrap();
    assert!(!devices.contains("sda") && !devices.contains("vda") && !devices.contains("kmsg"), "{devices}");
    let processes = printed.iter().find_map(|line| line.strip_prefix("pids: ")).unwrap();
    assert!(processes.parse::<u32>().unwrap() < 10, "it sees only its own: {processes}");
    stage.is_empty().await;
}

#[tokio::test]
async fn a_fork_bomb_ends_at_the_limit_and_takes_nobody_with_it() {
    let stage = Stage::with(|settings| settings.processes_max = 40);
    let neighbour = stage.instance("sleep 1000");
    let beside = stage.start(&neighbour).await;
    let script = "i=0; while [ $i -lt 200 ]; do i=$((i+1)); sleep 100 & done; echo not reached";
    let request = stage.script(script);
    stage.start(&request).await;
    let is_refused = |line: &String| line.contains("fork") && line.contains("Resource temporarily");
    until("it is refused", async || stage.printed().await.iter().any(is_refused)).await;
    let state = stage.runtime.state(neighbour.id).await.unwrap();
    assert_eq!(state, workers::runtime::InstanceState::Running { address: beside.address });
    stage.runtime.clean(request.id.deployment).await.unwrap();
    stage.runtime.clean(neighbour.id.deployment).await.unwrap();
    stage.is_empty().await;
}

#[tokio::test]
async fn a_container_reaches_neither_other_services_nor_the_clouds_own_address() {
    let stage = Stage::new();
    let own = stage.instance("httpd -f -p $PORT -h /etc");
    let mut other = stage.instance("httpd -f -p $PORT -h /etc");
    other.environment.service = domain::id::ServiceId(uuid::Uuid::now_v7());
    let (own_at, other_at) = (stage.start(&own).await.address, stage.start(&other).await.address);
    for address in [own_at, other_at] {
        let answers = async || tokio::net::TcpStream::connect(address).await.is_ok();
        until("it is reached from the host", answers).await;
    }
    // What any daemon does that starts on this machine: the engine's own rules are gone.
    let flush = ["-w", "-F", "DOCKER-ISOLATION-STAGE-1"];
    let flushed = std::process::Command::new("/usr/sbin/iptables").args(flush).status().unwrap();
    assert!(flushed.success());
    let mut probe = stage.script(
        "for a in $OWN $OTHER 169.254.169.254:80; do \
         nc -w 2 ${a%:*} ${a#*:} </dev/null >/dev/null 2>&1 && echo REACHED $a || echo no $a; done; \
         cat /proc/net/tcp | wc -l",
    );
    for (name, address) in [("OWN", own_at), ("OTHER", other_at)] {
        probe.environment.variables.insert(name.into(), Secret::new(address.to_string()));
    }
    let (_, printed) = stage.run(&probe).await;
    let expected = [format!("no {own_at}"), format!("no {other_at}"), "no 169.254.169.254:80".to_owned()];
    assert_eq!(printed[..3], expected);
    for request in [own, other] {
        stage.runtime.stop(request.id, GRACE).await.unwrap();
    }
    stage.is_empty().await;
}

#[tokio::test]
async fn a_variable_is_in_the_environment_and_nowhere_else() {
    const CANARY: &str = "canary-31c0ffee-value";
    let stage = Stage::new();
    let mut request = stage.instance("sleep 1000");
    request.environment.variables.insert("TOKEN".into(), Secret::new(CANARY));
    request.environment.memory_bytes = Some(1); // Which the engine refuses.
    let output = workers::output::Output::nowhere();
    let fence = domain::deployment::step::Fence(1);
    let error = stage.runtime.start(fence, &request, output).await.unwrap_err();
    assert!(error.permanent, "{error}");
    assert!(!format!("{error:?}").contains(CANARY), "{error:?}");
    request.environment.memory_bytes = None;
    stage.start(&request).await;
    let id = stage.engine.containers().await.remove(0);
    let mut found = stage.engine.client.inspect_container(&id, None).await.unwrap();
    let environment = found.config.as_mut().and_then(|config| config.env.take()).unwrap();
    assert!(environment.contains(&format!("TOKEN={CANARY}")));
    assert!(!serde_json::to_string(&found).unwrap().contains(CANARY));
    stage.runtime.stop(request.id, GRACE).await.unwrap();
    stage.is_empty().await;
}
