//! What a build tries to reach, and how much of the machine it tries to take.

use workers::builder::docker::BuildLimits;

use crate::builder::Workshop;

const FROM: &str = "FROM switchback-test/busybox";

#[tokio::test]
async fn a_dockerfile_that_reaches_out_is_refused_with_its_line() {
    for (text, line) in [
        ("# syntax=evil/frontend\nFROM a\n", "line 1"),
        ("FROM a\nRUN --mount=type=ssh true\n", "line 2"),
        ("FROM a\nADD http://169.254.169.254/latest /x\n", "line 2"),
        ("FROM 127.0.0.1:5001/services/other\n", "line 1"),
    ] {
        let workshop = Workshop::new(&[("Dockerfile", text)]);
        let error = workshop.detect().await.unwrap_err();
        assert_eq!(error.code, "dockerfile_refused");
        assert!(error.message.starts_with(&format!("Dockerfile, {line}: ")), "{error}");
    }
}

#[tokio::test]
async fn a_build_sees_nothing_of_the_machine() {
    let canary = std::env::temp_dir().join("switchback-test-canary");
    std::fs::write(&canary, "x").unwrap();
    let probe = "find / -name docker.sock -not -path '/proc/*' 2>/dev/null; find / -name switchback-test-canary -not -path '/proc/*' 2>/dev/null; \
                 ls /proc/1/root/work 2>/dev/null; env | grep -i switchback; ps | grep -v -e '^PID' -e ' ps$' -e grep | wc -l > /processes; \
                 mount -t tmpfs x /mnt 2>/dev/null && echo mounted; [ -n \"$(cat /dev/sda /dev/vda 2>/dev/null | head -c1)\" ] && echo disk; \
                 (echo 1 > /proc/sys/kernel/panic) 2>/dev/null && echo panic; \
                 mkdir /tmp/cg && mount -t cgroup x /tmp/cg 2>/dev/null && echo cgroup; \
                 wget -T 2 -q -O- http://127.0.0.1:5001/v2/ && echo registry; exit 0";
    let workshop = Workshop::new(&[("Dockerfile", &format!("{FROM}\nRUN ({probe}) > /found\n"))]);
    workshop.built().await;
    std::fs::remove_file(canary).unwrap();
    let files = workshop.files().await;
    assert_eq!(String::from_utf8_lossy(&files["/found"]), "");
    let processes: u32 = String::from_utf8_lossy(&files["/processes"]).trim().parse().unwrap();
    assert!(processes < 10, "{processes} processes are seen");
}

#[tokio::test]
async fn a_build_that_takes_too_much_memory_ends_at_its_limit() {
    assert!(BuildLimits::can_be_set(), "the test runs as root on the engine's machine");
    let file = format!("{FROM}\nRUN sleep 1; echo hog; tail /dev/zero\n");
    let small = BuildLimits { memory_bytes: 64 << 20, cpu_millis: 500, processes: 50 };
    let workshop = Workshop::with(&[("Dockerfile", &file)], |settings| settings.limits = small);
    let error = workshop.build().await.unwrap_err();
    assert_eq!(error.code, "build_failed");
    assert!(error.message.contains("of memory"), "{error}");
}

#[tokio::test]
async fn a_fork_bomb_ends_at_its_limit_and_others_build() {
    let file = format!(
        "{FROM}\nRUN sleep 1; i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i+1)); done; echo all of them\n"
    );
    let small = BuildLimits { memory_bytes: 256 << 20, cpu_millis: 1_000, processes: 30 };
    let workshop = Workshop::with(&[("Dockerfile", &file)], |settings| settings.limits = small);
    let other = Workshop::new(&[("Dockerfile", &format!("{FROM}\nRUN echo fine\n"))]);
    let (bomb, other) = tokio::join!(workshop.build(), other.build());
    assert_eq!(bomb.unwrap_err().code, "build_failed");
    other.unwrap();
    let lines = workshop.lines();
    assert!(!lines.iter().any(|line| line == "all of them"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("can't fork")), "{lines:#?}");
}
