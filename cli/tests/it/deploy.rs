//! Deploying: repositories, directories, references; what is printed and recorded.

use crate::application::{Application, git};
use crate::platform::{Platform, text};

#[test]
fn a_local_repository_is_deployed_at_its_head_and_answers_at_its_url() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    let revision = application.commit("the first");
    let result = platform.deploy(&application.path);
    assert_eq!(result["status"], "SUCCESS");
    assert_eq!(result["release"], "v1");
    assert_eq!(result["commit"], revision);
    assert!(result["duration_ms"].as_u64().unwrap() > 0);
    assert!(result["image"].as_str().unwrap().starts_with("sha256:"));
    let port = platform.edge().port();
    assert_eq!(result["url"], format!("http://web.shop.localhost:{port}"));
    assert_eq!(platform.get("/"), (200, "one v1 -".into()));
}

#[test]
fn a_git_url_is_cloned_at_a_branch_a_tag_or_a_revision() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "main");
    let first = application.commit("on main");
    git(&application.path, &["checkout", "--quiet", "-b", "feature/x"]);
    application.say("feature");
    application.commit("on a branch");
    git(&application.path, &["tag", "v9"]);
    git(&application.path, &["checkout", "--quiet", "main"]);
    let url = application.url();
    for (reference, says) in
        [(None, "main"), (Some("feature/x"), "feature"), (Some(&*first), "main"), (Some("v9"), "feature")]
    {
        let mut arguments = vec!["deploy", &url, "-p", "shop", "-s", "web", "-y"];
        arguments.extend(reference.map(|reference| ["--ref", reference]).into_iter().flatten());
        assert_eq!(platform.json(&arguments)["status"], "SUCCESS", "{reference:?}");
        assert!(platform.get("/").1.starts_with(says), "{reference:?}: {:?}", platform.get("/"));
    }
}

#[test]
fn a_directory_is_uploaded_as_it_is_without_what_git_ignores() {
    let platform = Platform::start();
    let application = Application::empty(&platform, "site");
    application.write("index.html", "<h1>static</h1>");
    application.write(".gitignore", "secret.txt\n");
    application.write("secret.txt", "not for you");
    application.write("sub/page.html", "a page");
    assert_eq!(platform.deploy(&application.path)["status"], "SUCCESS");
    assert_eq!(platform.get("/"), (200, "<h1>static</h1>".into()));
    assert_eq!(platform.get("/sub/page.html").1, "a page");
    assert_eq!(platform.get("/secret.txt").0, 404);
}

#[test]
fn changes_that_are_not_committed_are_not_deployed_and_that_is_said() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "committed");
    application.commit("first");
    application.say("changed");
    let output =
        platform.run(&["deploy", application.path.to_str().unwrap(), "-p", "shop", "-s", "web", "-y"]);
    assert!(output.status.success(), "{}", text(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("uncommitted"), "{}", text(&output));
    assert!(platform.get("/").1.starts_with("committed"));
}

#[test]
fn the_plan_is_printed_recorded_and_overridden_by_the_file_in_the_repository() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.write("prepare.py", "open('made.txt', 'w').write('by the build')\n");
    application.write(
        "switchback.toml",
        "[build]\nbuild = \"python3 prepare.py\"\n[run]\ncommand = \"python3 app.py\"\n",
    );
    application.commit("with a file");
    let source = application.path.to_str().unwrap();
    let output = platform.run(&["deploy", source, "-p", "shop", "-s", "web", "-y"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("python3 prepare.py") && said.contains("python3 app.py"), "{said}");
    let events = platform.json(&["events", "--type", "deployment.step_succeeded"]);
    let recorded = events.to_string();
    assert!(recorded.contains("python3 prepare.py"), "{recorded}");
}

#[test]
fn build_output_is_streamed_kept_and_read_again() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.write("loud.py", "for n in range(300): print('line', n, flush=True)\n");
    application.write("switchback.toml", "[build]\nbuild = \"python3 loud.py\"\n");
    application.commit("loud");
    let output =
        platform.run(&["deploy", application.path.to_str().unwrap(), "-p", "shop", "-s", "web", "-y"]);
    assert!(text(&output).contains("line 299"), "{}", text(&output));
    let again = platform.run(&["logs", "--build", "v1", "-n", "1000", "-p", "shop", "-s", "web"]);
    let lines = String::from_utf8(again.stdout).unwrap();
    let numbers: Vec<u32> =
        lines.lines().filter_map(|line| line.rsplit_once("line ")?.1.trim().parse().ok()).collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
}

#[test]
fn what_the_application_prints_is_read_by_logs() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.get("/from-the-test");
    crate::platform::eventually("the line is in the log", || {
        let output = platform.run(&["logs", "-p", "shop", "-s", "web"]);
        text(&output).contains("asked for /from-the-test")
    });
}

#[test]
fn several_projects_environments_and_services_run_side_by_side() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    let source = application.path.to_str().unwrap();
    for (project, environment, service) in [
        ("shop", "production", "web"),
        ("shop", "staging", "web"),
        ("shop", "production", "api"),
        ("other", "production", "web"),
    ] {
        let result =
            platform.json(&["deploy", source, "-p", project, "-e", environment, "-s", service, "-y"]);
        assert_eq!(result["release"], "v1");
    }
    for hostname in
        ["web.shop.localhost", "web.staging.shop.localhost", "api.shop.localhost", "web.other.localhost"]
    {
        assert_eq!(platform.get_from(hostname, "/").0, 200, "{hostname}");
    }
    let status = platform.json(&["status", "-p", "shop"]);
    let services = status["services"].as_array().unwrap();
    assert_eq!(services.len(), 2);
    for service in services {
        assert_eq!((&service["health"], &service["replicas"]["ready"]), (&"HEALTHY".into(), &1.into()));
    }
    assert_eq!(platform.get_from("none.shop.localhost", "/").0, 404);
}

#[test]
fn a_second_build_of_the_same_revision_uses_the_first() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.write("switchback.toml", "[build]\nbuild = \"python3 -c pass\"\n");
    application.commit("first");
    let first = platform.deploy(&application.path);
    let second = platform.deploy(&application.path);
    assert_eq!(first["image"], second["image"]);
    assert_eq!(second["release"], "v2");
    let log = text(&platform.run(&["logs", "--build", "v2", "-p", "shop", "-s", "web"]));
    assert!(log.contains("built before"), "{log}");
    let fresh = platform.json(&[
        "deploy",
        application.path.to_str().unwrap(),
        "-p",
        "shop",
        "-s",
        "web",
        "-y",
        "--fresh",
    ]);
    assert_eq!(fresh["release"], "v3");
    let log = text(&platform.run(&["logs", "--build", "v3", "-p", "shop", "-s", "web"]));
    assert!(!log.contains("built before"), "{log}");
}

#[test]
fn replicas_share_the_traffic() {
    let platform = Platform::start();
    let application = Application::saying(&platform, "one");
    application.commit("first");
    platform.deploy(&application.path);
    platform.json(&["scale", "3", "-p", "shop", "-s", "web", "-y"]);
    let port = |_| {
        let (_, environment) = platform.get("/environment");
        let tells = |line: &&str| line.starts_with("PORT=") || line.starts_with("HOSTNAME=");
        environment.lines().filter(tells).collect::<String>()
    };
    let ports: std::collections::HashSet<String> = (0..20).map(port).collect();
    assert_eq!(ports.len(), 3);
    let status = platform.json(&["status", "-p", "shop"]);
    assert_eq!(status["services"][0]["replicas"], serde_json::json!({ "wanted": 3, "ready": 3 }));
}
