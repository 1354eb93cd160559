//! Temporary: public repositories.
use crate::platform::{Platform, environment};
use domain::deployment::step::{Fence, Step};
use domain::id::ServiceId;
use domain::secret::Secret;
use domain::service::release::InstanceId;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use workers::builder::process::{ProcessBuilder, Settings as BS, run_defaults};
use workers::builder::{BuildRequest, Builder};
use workers::disk::Reserve;
use workers::registry::Registry;
use workers::registry::local::{ARTIFACT_MAX, LocalRegistry};
use workers::runtime::process::{ProcessRuntime, Settings as RS};
use workers::runtime::{Environment, InstanceRequest, Runtime};
use workers::source::git::{GitSource, Settings as GS};

fn ask(address: std::net::SocketAddr) -> Option<String> {
    use std::io::{Read, Write};
    let mut last = None;
    for _ in 0..200 {
        let answer = std::net::TcpStream::connect(address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = vec![];
            stream.read_to_end(&mut answer).map(|_| String::from_utf8_lossy(&answer).into_owned())
        });
        match answer {
            Ok(a) if !a.is_empty() => {
                last = Some(a);
                break;
            }
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    last
}

#[tokio::test]
async fn zz_real() {
    let Ok(repos) = std::env::var("REAL") else { return };
    let mut platform = Platform::new();
    let service = ServiceId(uuid::Uuid::now_v7());
    for spec in repos.split_whitespace() {
        let (url, rest) = spec.split_once('#').map_or((spec, ""), |(a, b)| (a, b));
        let (reference, root) = rest.split_once(':').unwrap_or((rest, ""));
        platform.deployment = domain::id::DeploymentId(uuid::Uuid::now_v7());
        let mut gs = GS::new(platform.data.path(), &environment());
        gs.reserve = Reserve { bytes: 0, percent: 0 };
        let git = GitSource::new(gs, platform.supervisor.clone());
        let (output, cancel) = (platform.output(), CancellationToken::new());
        let t = Instant::now();
        let into = platform.workspace();
        let reference = (!reference.is_empty()).then(|| reference.parse().unwrap());
        println!("==== {spec}");
        let rev = match git
            .fetch(
                platform.key(Step::Fetch, 1),
                &url.parse().unwrap(),
                reference.as_ref(),
                None,
                &into,
                &output,
                &cancel,
            )
            .await
        {
            Ok(r) => r,
            Err(e) => {
                println!("FETCH {}: {e}", e.code);
                continue;
            }
        };
        println!("fetched {} {:?} in {:?}", rev.id.short(), rev.subject, t.elapsed());
        if !root.is_empty() {
            std::fs::write(into.join("switchback.toml"), format!("[service]\nroot = \"{root}\"\n")).unwrap();
        }
        let mut bs = BS::new(platform.data.path(), &environment());
        bs.reserve = Reserve { bytes: 0, percent: 0 };
        let builder = ProcessBuilder::new(bs, platform.supervisor.clone());
        let request = BuildRequest {
            service,
            deployment: platform.deployment,
            source: domain::source::Source::Repository { url: url.parse().unwrap(), reference: None },
            revision: Some(rev),
            directory: into.clone(),
            variables: BTreeMap::new(),
        };
        let t = Instant::now();
        let plan = match builder.detect(&request, &output).await {
            Ok(p) => p,
            Err(e) => {
                println!("DETECT {}: {e}", e.code);
                continue;
            }
        };
        println!(
            "detected in {:?}: {} by {}\n  install {:?}\n  build {:?}\n  start {} release {:?}",
            t.elapsed(),
            plan.language,
            plan.detected_by,
            plan.install,
            plan.build,
            plan.run.start,
            plan.run.release
        );
        if std::env::var("DETECT_ONLY").is_ok() {
            continue;
        }
        let t = Instant::now();
        if let Err(e) = builder.build(platform.key(Step::Build, 1), &request, &plan, &output, &cancel).await {
            println!("BUILD {}: {e} after {:?}", e.code, t.elapsed());
            for l in platform.lines().iter().rev().take(25).rev() {
                println!("   | {}", l.chars().take(300).collect::<String>());
            }
            continue;
        }
        println!("built in {:?}", t.elapsed());
        let t = Instant::now();
        let registry = LocalRegistry::new(platform.data.path(), ARTIFACT_MAX);
        let digest = registry.push(platform.key(Step::Push, 1), &request, "r").await.unwrap();
        let used = workers::disk::usage(&into, workers::disk::Usage { bytes: u64::MAX, entries: u64::MAX });
        println!(
            "pushed {} in {:?} ({} MB, {} entries)",
            digest.short(),
            t.elapsed(),
            used.bytes >> 20,
            used.entries
        );
        let rt = ProcessRuntime::open(
            RS::new(platform.data.path().join("instances"), environment()["PATH"].clone()),
            platform.supervisor.clone(),
        )
        .unwrap();
        let variables =
            run_defaults(plan.language).iter().map(|(n, v)| ((*n).to_owned(), Secret::new(*v))).collect();
        let id = InstanceId { deployment: platform.deployment, ordinal: 0 };
        let ir = InstanceRequest {
            id,
            start: plan.run.start.clone(),
            environment: Environment {
                service,
                directory: into.clone(),
                root: plan.root.clone(),
                variables,
                memory_bytes: None,
                cpu_millis: None,
            },
            address: None,
        };
        let t = Instant::now();
        match rt.start(Fence(1), &ir, output.clone()).await {
            Ok(i) => {
                let a = tokio::task::spawn_blocking(move || ask(i.address)).await.unwrap();
                match a {
                    Some(a) => println!(
                        "ANSWER in {:?}: {} ... {:?}",
                        t.elapsed(),
                        a.lines().next().unwrap_or(""),
                        a.split("\r\n\r\n")
                            .nth(1)
                            .unwrap_or("")
                            .chars()
                            .filter(|c| !c.is_control())
                            .take(100)
                            .collect::<String>()
                    ),
                    None => {
                        println!("NO ANSWER; state {:?}", rt.state(id).await);
                        for l in platform.lines().iter().rev().take(25).rev() {
                            println!("   | {}", l.chars().take(300).collect::<String>());
                        }
                    }
                }
            }
            Err(e) => println!("START {}: {e}", e.code),
        }
        rt.stop(id, Duration::from_secs(3)).await.unwrap();
    }
}
