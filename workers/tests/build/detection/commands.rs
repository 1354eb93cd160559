//! What the author says: `switchback.toml` and the Procfile.

use super::{check, detected};

#[test]
fn a_procfile_replaces_the_start_and_chooses_among_languages() {
    check(&[
        (
            &[
                ("Procfile", "web: gunicorn shop.wsgi\nrelease: python manage.py migrate\nworker: celery\n"),
                ("requirements.txt", "django"),
                ("package.json", r#"{"scripts": {"start": "node x"}}"#),
            ],
            &[
                "Python by requirements.txt, Procfile",
                "install python3 -m venv .venv",
                "install .venv/bin/pip install -r requirements.txt",
                "start gunicorn shop.wsgi",
                "release python manage.py migrate",
                "note also found, and not built: Node.js (package.json)",
                "note of the Procfile, web and release are run; left out: worker",
            ],
        ),
        (
            &[("Procfile", "web: ./run --port $PORT"), ("Dockerfile", "FROM x")],
            &[
                "other by Procfile",
                "start ./run --port $PORT",
                "note a Dockerfile needs Docker; building by its commands instead",
            ],
        ),
    ]);
}

#[test]
fn each_part_of_switchback_toml_replaces_what_was_found() {
    let package = ("apps/web/package.json", r#"{"scripts": {"start": "node x", "build": "b"}}"#);
    let toml = "[service]\nroot = \"apps/web\"\n[build]\ninstall = \"npm ci\"\n[run]\n\
                release = \"./migrate\"\nreplicas = 2\nmemory = \"256Mi\"\ncpu = 0.5\ndrain = \"5s\"\n\
                health = { path = \"/up\", timeout = \"9s\" }\n";
    check(&[
        (
            &[("switchback.toml", toml), package],
            &[
                "Node.js by package.json, switchback.toml",
                "in apps/web",
                "install npm ci",
                "build npm run build",
                "start node x",
                "release ./migrate",
            ],
        ),
        (
            &[("switchback.toml", "run.command = 'a'\nbuild.build = 'c'\n"), ("Procfile", "web: x | y")],
            &["other by switchback.toml", "build c", "start a"],
        ),
    ]);
    let run = detected(&[("switchback.toml", toml), package]).expect("detected").plan.run;
    assert_eq!((run.replicas, run.memory_bytes, run.cpu_millis), (2, Some(256 << 20), Some(500)));
    assert_eq!(
        (run.drain_ms, run.health.path.as_deref(), run.health.timeout_ms),
        (5_000, Some("/up"), 9_000)
    );
}

#[test]
fn a_dockerfile_beside_a_language_is_a_note() {
    let found = detected(&[("Dockerfile", "FROM x"), ("app.py", "")]).expect("detected");
    assert_eq!(found.notes, ["a Dockerfile needs Docker; building by language instead"]);
}

#[test]
fn health_has_its_defaults() {
    let run = detected(&[("app.py", "")]).expect("detected").plan.run;
    assert_eq!(
        (run.replicas, run.drain_ms, run.health.path, run.health.timeout_ms),
        (1, 10_000, None, 60_000)
    );
}
