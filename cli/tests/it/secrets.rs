//! A canary in a variable: it is nowhere but where it belongs.

use std::fs;
use std::path::Path;

use crate::application::Application;
use crate::platform::{Platform, text};

const CANARY: &str = "canary-9d2b61c4-value";

/// Every file below a directory that has the canary in it.
fn holding(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            holding(&path, found);
        } else if let Ok(bytes) = fs::read(&path) {
            let holds = bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            if holds {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn a_value_is_in_no_file_no_log_no_answer_and_no_process_list() {
    let platform = Platform::with(&[], &[("SWITCHBACK_LOG_LEVEL", "trace")]);
    let application = Application::saying(&platform, "one");
    application.write("show.py", "import os\nprint('the value is', os.environ.get('API_KEY'), flush=True)\n");
    application.write(
        "switchback.toml",
        "[build]\nbuild = \"python3 show.py\"\n[run]\nrelease = \"python3 show.py\"\n",
    );
    application.commit("first");
    let setting = format!("API_KEY={CANARY}");
    platform.json(&["projects", "create", "shop"]);
    platform.json(&["services", "create", "web", "-p", "shop"]);
    platform.json(&["variables", "set", &setting, "-p", "shop", "-s", "web", "-y"]);
    platform.deploy(&application.path);
    assert!(platform.get("/environment").1.contains(CANARY), "the application has it");

    for arguments in [
        &["events", "--json"][..],
        &["history", "--json", "-n", "200"],
        &["variables", "list", "-p", "shop", "-s", "web"],
        &["releases", "--json", "-p", "shop", "-s", "web"],
        &["release", "v1", "--json", "-p", "shop", "-s", "web"],
        &["logs", "--build", "v1", "-n", "1000", "-p", "shop", "-s", "web"],
    ] {
        assert!(!text(&platform.run(arguments)).contains(CANARY), "{arguments:?}");
    }
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let cmdline = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&cmdline).contains(CANARY), "{:?}", entry.path());
    }
    let mut found = vec![];
    platform.directories().iter().for_each(|kept| holding(kept, &mut found));
    assert!(found.is_empty(), "{found:?}");
    assert!(!platform.server_log().contains(CANARY), "the server's own log");
}
