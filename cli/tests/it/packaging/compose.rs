//! The Compose file: what each service may, has and is limited to. It is read here and not started: its
//! images cannot be pulled on the machine of the tests.

use std::collections::{BTreeMap, BTreeSet};

use yaml_rust2::Yaml;
use yaml_rust2::yaml::Hash;

const ENGINES: [&str; 3] = ["nats", "postgres", "registry"];
const ROLES: [&str; 4] = ["gateway", "projector", "worker", "edge"];

/// The settings that there are, as the guide lists them: flags and variables of the environment.
fn settings() -> (BTreeSet<String>, BTreeSet<String>) {
    let guide = include_str!("../../../../docs/guide/settings.md");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `--")?.split_once("` | `"));
    rows.map(|(flag, rest)| {
        let flag = flag.split(' ').next().unwrap().to_owned();
        (flag, rest.split('`').next().unwrap().to_owned())
    })
    .unzip()
}

/// With what `<<` takes over put in place, as Compose reads it.
fn merged(value: &Yaml) -> Yaml {
    match value {
        Yaml::Hash(hash) => {
            let mut whole = Hash::new();
            if let Some(taken) = hash.get(&Yaml::String("<<".to_owned())) {
                for one in taken.as_vec().cloned().unwrap_or_else(|| vec![taken.clone()]) {
                    whole.extend(merged(&one).into_hash().unwrap());
                }
            }
            for (key, value) in hash.iter().filter(|(key, _)| key.as_str() != Some("<<")) {
                whole.insert(key.clone(), merged(value));
            }
            Yaml::Hash(whole)
        }
        Yaml::Array(values) => Yaml::Array(values.iter().map(merged).collect()),
        Yaml::Real(_)
        | Yaml::Integer(_)
        | Yaml::String(_)
        | Yaml::Boolean(_)
        | Yaml::Alias(_)
        | Yaml::Null
        | Yaml::BadValue => value.clone(),
    }
}

fn file() -> Yaml {
    merged(&super::yaml("compose.yaml"))
}

fn services() -> BTreeMap<String, Yaml> {
    let services = file()["services"].clone().into_hash().unwrap();
    services.into_iter().map(|(name, service)| (name.into_string().unwrap(), service)).collect()
}

fn words(value: &Yaml) -> Vec<String> {
    let list = value.as_vec().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn keys(value: &Yaml) -> BTreeSet<String> {
    let hash = value.as_hash().cloned().unwrap_or_default();
    hash.keys().map(|key| key.as_str().unwrap().to_owned()).collect()
}

#[test]
fn there_is_a_service_for_each_role_and_each_engine() {
    let known: BTreeSet<String> = services().into_keys().collect();
    let wanted = ENGINES.iter().chain(&ROLES).map(|&name| name.to_owned()).collect();
    assert_eq!(known, wanted);
    for (name, service) in services().iter().filter(|(name, _)| ROLES.contains(&name.as_str())) {
        let command = words(&service["command"]);
        assert_eq!(command[..3], ["serve", "--role", name.as_str()], "{name}");
        let (flags, variables) = settings();
        for flag in command.iter().filter_map(|word| word.strip_prefix("--")) {
            assert!(flags.contains(flag), "{name}: --{flag}");
        }
        for variable in keys(&service["environment"]) {
            assert!(variable == "PGPASSFILE" || variables.contains(&variable), "{name}: {variable}");
        }
    }
}

#[test]
fn nobody_has_more_rights_than_it_needs() {
    for (name, service) in services() {
        assert_eq!(words(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(words(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        for forbidden in ["privileged", "pid", "ipc", "devices", "userns_mode"] {
            assert!(service[forbidden].is_badvalue(), "{name}: {forbidden}");
        }
        let is_ours = ROLES.contains(&name.as_str());
        assert!(!is_ours || service["user"].as_str() == Some("10001:10001"), "{name}");
        assert!(!is_ours || service["read_only"].as_bool() == Some(true), "{name}");
        assert!(name == "postgres" || service["cap_add"].is_badvalue(), "{name}");
        let has_socket = words(&service["volumes"]).iter().any(|volume| volume.contains("docker.sock"));
        assert_eq!(has_socket, name == "worker", "{name}");
        let is_on_host = service["network_mode"].as_str() == Some("host");
        assert_eq!(is_on_host, name == "worker" || name == "edge", "{name}");
    }
}

#[test]
fn only_the_api_and_the_edge_can_be_reached_from_elsewhere() {
    for (name, service) in services() {
        for port in words(&service["ports"]) {
            let is_inside = port.starts_with("127.0.0.1:");
            assert!(is_inside || port == "${SWITCHBACK_API_ADDRESS:-127.0.0.1}:7070:7070", "{name}: {port}");
        }
        // Those in the host's network say themselves where they listen.
        if service["network_mode"].as_str() == Some("host") {
            let command = words(&service["command"]);
            let of = |flag: &str| command.iter().skip_while(|word| *word != flag).nth(1).cloned();
            assert!(of("--operations").unwrap().starts_with("127.0.0.1:"), "{name}");
            assert_eq!(of("--edge").is_some(), name == "edge", "{name}");
        }
    }
}

#[test]
fn everything_has_a_limit_and_says_whether_it_is_well() {
    for (name, service) in services() {
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(limits["cpus"].as_str().is_some() && limits["memory"].as_str().is_some(), "{name}");
        assert!(limits["pids"].as_i64().is_some() && service["pids_limit"].is_badvalue(), "{name}");
        assert!(!words(&service["healthcheck"]["test"]).is_empty(), "{name}");
        assert!(service["logging"]["options"]["max-size"].as_str().is_some(), "{name}");
        assert_eq!(service["restart"].as_str(), Some("unless-stopped"), "{name}");
        for needed in keys(&service["depends_on"]) {
            let condition = service["depends_on"][needed.as_str()]["condition"].as_str();
            assert_eq!(condition, Some("service_healthy"), "{name}: {needed}");
        }
    }
    assert!(super::read("nats.conf").contains("sync_interval: always"));
}

#[test]
fn secrets_are_files_and_volumes_and_networks_are_there() {
    let file = file();
    for (name, service) in services() {
        for secret in words(&service["secrets"]) {
            let path = file["secrets"][secret.as_str()]["file"].as_str();
            assert_eq!(path, Some(&*format!("./secrets/{secret}")), "{name}: {secret}");
        }
        for (variable, value) in service["environment"].as_hash().into_iter().flatten() {
            let (variable, value) = (variable.as_str().unwrap(), value.as_str().unwrap());
            let is_secret =
                ["PASSWORD", "KEY", "TOKEN", "CREDENTIALS"].iter().any(|word| variable.contains(word));
            assert!(!is_secret || value.starts_with("/run/secrets/"), "{name}: {variable}");
            let has_password = value.split_once("://").is_some_and(|(_, rest)| {
                rest.split('/')
                    .next()
                    .and_then(|host| host.split_once('@'))
                    .is_some_and(|(user, _)| user.contains(':'))
            });
            assert!(!has_password, "{name}: {variable}");
        }
        for volume in words(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            let is_path = source.starts_with('/') || source.starts_with("./");
            assert!(is_path || keys(&file["volumes"]).contains(source), "{name}: {volume}");
        }
        for network in words(&service["networks"]) {
            assert!(keys(&file["networks"]).contains(&network), "{name}: {network}");
        }
    }
}
