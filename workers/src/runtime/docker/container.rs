//! A container as it is asked for, and as it is found.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HealthConfig, HostConfig, HostConfigLogConfig,
    PortBinding, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use chrono::{DateTime, Utc};

use crate::process::Exit;
use crate::runtime::Environment;
use crate::runtime::docker::Settings;
use crate::runtime::docker::arguments::Program;
use crate::runtime::docker::labels::{self, Labels};

/// What is asked for, beside what the settings say.
pub(super) struct Wish<'a> {
    pub(super) image: &'a str,
    pub(super) program: Program,
    pub(super) given: &'a Environment,
    /// None for a command, which nobody connects to.
    pub(super) port: Option<u16>,
    pub(super) network: &'a str,
    pub(super) labels: Labels,
}

/// The whole request. Everything that makes a container more than a program in a box of its own is left out
/// or switched off: namespaces of the host, devices, binds, capabilities, ways to gain privileges.
pub(super) fn body(settings: &Settings, wish: Wish<'_>) -> ContainerCreateBody {
    let Wish { image, program, given, port, network, labels } = wish;
    let mut variables: BTreeMap<&str, &str> =
        given.variables.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect();
    variables.extend(program.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let number = port.map(|port| port.to_string());
    variables.extend(number.as_deref().map(|number| ("PORT", number)));
    let env = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (entrypoint, cmd) = match program.arguments.split_first() {
        None => (None, None),
        Some((program, arguments)) => (Some(vec![program.clone()]), Some(arguments.to_vec())),
    };
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint,
        cmd,
        working_dir: program.directory,
        env: Some(env),
        labels: Some(labels),
        exposed_ports: port.map(|port| vec![format!("{port}/tcp")]),
        attach_stdin: Some(false),
        open_stdin: Some(false),
        tty: Some(false),
        // The platform asks by itself, and an image's own way would run beside it.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }),
        host_config: Some(host(settings, given, port, network)),
        ..ContainerCreateBody::default()
    }
}

fn host(settings: &Settings, given: &Environment, port: Option<u16>, network: &str) -> HostConfig {
    let memory = given.memory_bytes.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let open_files = i64::try_from(settings.open_files_max).unwrap_or(i64::MAX);
    let ulimit = |name: &str, value| ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(value),
        hard: Some(value),
    };
    let log = [("max-size", settings.log_bytes.to_string()), ("max-file", settings.log_files.to_string())];
    let temporary = format!("rw,nosuid,nodev,mode=1777,size={}", settings.temporary_bytes);
    let published = port.zip(settings.publish).map(|(port, ip)| {
        // The engine chooses a port of the host that is free.
        let binding = PortBinding { host_ip: Some(ip.to_string()), host_port: Some(String::new()) };
        HashMap::from([(format!("{port}/tcp"), Some(vec![binding]))])
    });
    HostConfig {
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(settings.capabilities.clone()),
        // No word of seccomp: what is not said is the engine's own list, and never `unconfined`.
        security_opt: Some(vec!["no-new-privileges:true".into()]),
        privileged: Some(false),
        pids_limit: Some(i64::from(settings.processes_max)),
        memory,
        memory_swap: memory,
        nano_cpus: given.cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
        ulimits: Some(vec![ulimit("nofile", open_files), ulimit("core", 0)]),
        readonly_rootfs: Some(given.read_only),
        tmpfs: given.read_only.then(|| HashMap::from([("/tmp".to_owned(), temporary)])),
        network_mode: Some(network.to_owned()),
        ipc_mode: Some("private".into()),
        publish_all_ports: Some(false),
        port_bindings: published,
        // Reaps what its program leaves, and hands it the signals.
        init: Some(true),
        // A crash is an event; who starts it again is the reconciler.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        auto_remove: Some(false),
        log_config: Some(HostConfigLogConfig {
            // Not `local`, which forgets where a line of more than 16 KiB ends.
            typ: Some("json-file".into()),
            config: Some(log.map(|(name, value)| (name.to_owned(), value)).into()),
        }),
        ..HostConfig::default()
    }
}

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Made, and not started: a worker died in between, or is about to start it.
    Created,
    Running,
    /// Ended, or being removed.
    Over,
}

/// A container that was found.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) labels: Labels,
    pub(super) phase: Phase,
    pub(super) finished: Option<DateTime<Utc>>,
    /// Of its first process, on the host.
    pub(super) process: Option<i32>,
    pub(super) stop_signal: String,
    status: i64,
    out_of_memory: bool,
    memory: Option<i64>,
    address: Option<IpAddr>,
    published: Option<SocketAddr>,
}

impl Container {
    pub(super) fn of(found: ContainerInspectResponse) -> Option<Self> {
        let state = found.state.unwrap_or_default();
        let config = found.config.unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        let network = found.network_settings.unwrap_or_default();
        let endpoints = network.networks.unwrap_or_default().into_values();
        let address = endpoints.filter_map(|endpoint| endpoint.ip_address).find_map(|ip| ip.parse().ok());
        let bindings = network.ports.unwrap_or_default().into_values().flatten().flatten();
        let published = bindings.filter_map(|binding| {
            let port = binding.host_port?.parse().ok()?;
            Some(SocketAddr::new(binding.host_ip?.parse().ok()?, port))
        });
        let phase = match (state.running, &state.status) {
            (Some(true), _) => Phase::Running,
            (_, Some(bollard::models::ContainerStateStatusEnum::CREATED)) => Phase::Created,
            _ => Phase::Over,
        };
        Some(Self {
            id: found.id?,
            phase,
            finished: state.finished_at.and_then(|at| DateTime::parse_from_rfc3339(&at).ok()).map(Into::into),
            process: state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0),
            stop_signal: config.stop_signal.unwrap_or_else(|| "SIGTERM".into()),
            status: state.exit_code.unwrap_or_default(),
            out_of_memory: state.oom_killed.unwrap_or_default(),
            memory: found.host_config.and_then(|host| host.memory).filter(|bytes| *bytes > 0),
            address,
            published: published.into_iter().next(),
            labels,
        })
    }

    /// Where its port is reached. Nowhere when it does not run.
    pub(super) fn address(&self, publish: Option<IpAddr>) -> Option<SocketAddr> {
        if publish.is_some() {
            return self.published;
        }
        let port = self.labels.get(labels::PORT)?.parse().ok()?;
        Some(SocketAddr::new(self.address?, port))
    }

    /// How it ended, in words.
    pub(super) fn exit(&self) -> String {
        if self.out_of_memory {
            let limit = self.memory.map(|bytes| format!(" (limit {} MiB)", bytes / (1024 * 1024)));
            return format!("killed: out of memory{}", limit.unwrap_or_default());
        }
        exit_in_words(self.status)
    }

    pub(super) fn is_success(&self) -> bool {
        self.status == 0
    }
}

/// What a status says: the container's first process passes on how the program ended.
pub(super) fn exit_in_words(status: i64) -> String {
    match status {
        126 => "exit status 126: its program cannot be run".into(),
        127 => "exit status 127: there is no such program in the image".into(),
        129..=159 => {
            let number = i32::try_from(status - 128).unwrap_or_default();
            Exit::Signal { number, out_of_memory: false }.to_string()
        }
        _ => Exit::Status(i32::try_from(status).unwrap_or(i32::MAX)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use domain::deployment::step::Fence;
    use domain::id::{DeploymentId, OrganizationId, ServiceId};
    use domain::secret::Secret;
    use uuid::Uuid;

    use super::*;
    use crate::registry::Files;

    fn given() -> Environment {
        let variables = [("TOKEN", "canary"), ("PORT", "1"), ("SWITCHBACK_RELEASE", "v3")];
        Environment {
            organization: OrganizationId(Uuid::from_u128(1)),
            service: ServiceId(Uuid::from_u128(2)),
            files: Files::Image("registry.example/app@sha256:00".into()),
            root: String::new(),
            port: None,
            read_only: true,
            variables: variables.map(|(name, value)| (name.to_owned(), Secret::new(value))).into(),
            memory_bytes: Some(256 * 1024 * 1024),
            cpu_millis: Some(1500),
        }
    }

    #[test]
    fn a_container_is_asked_for_with_nothing_that_it_does_not_need() {
        let given = given();
        let settings = Settings::new("docker:", Uuid::from_u128(3));
        let deployment = DeploymentId(Uuid::from_u128(4));
        let wish = Wish {
            image: "registry.example/app@sha256:00",
            program: Program { arguments: vec!["serve".into(), "--now".into()], ..Program::default() },
            given: &given,
            port: Some(8080),
            network: "net",
            labels: labels::of_release(settings.installation, deployment, Fence(2), &given),
        };
        let body = serde_json::to_value(body(&settings, wish)).unwrap();
        insta::assert_json_snapshot!(body);
        // The variable stands in the environment and nowhere else.
        assert_eq!(body.to_string().matches("canary").count(), 1);
    }

    #[test]
    fn a_status_is_said_in_words() {
        assert_eq!(exit_in_words(3), "exit status 3");
        assert_eq!(exit_in_words(137), "signal 9 (SIGKILL)");
        assert_eq!(exit_in_words(127), "exit status 127: there is no such program in the image");
        assert_eq!(exit_in_words(255), "exit status 255");
    }
}
