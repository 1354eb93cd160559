//! Python.

use super::{check, detected, detected_with};

const VENV: &str = "install python3 -m venv .venv";

#[test]
fn packages_are_installed_by_what_locks_them() {
    let run = ("main.py", "print()");
    let project = "[project]\nname = 'x'\ndependencies = ['flask>=3', 'a']\n";
    check(&[
        (
            &[("requirements.txt", "requests"), run],
            &[
                "Python by requirements.txt",
                VENV,
                "install .venv/bin/pip install -r requirements.txt",
                "start python main.py",
            ],
        ),
        (
            &[("pyproject.toml", project), run],
            &[
                "Python by pyproject.toml",
                VENV,
                "install .venv/bin/pip install 'flask>=3' a",
                "start python main.py",
            ],
        ),
        (
            &[("pyproject.toml", &format!("{project}[build-system]\nrequires = []")), run],
            &["Python by pyproject.toml", VENV, "install .venv/bin/pip install .", "start python main.py"],
        ),
        (
            &[("pyproject.toml", project), ("uv.lock", ""), ("requirements.txt", "a"), run],
            &[
                "Python by pyproject.toml, uv.lock",
                VENV,
                "install python3 -m venv $BUILD_CACHE/uv",
                "install $BUILD_CACHE/uv/bin/pip install uv",
                "install $BUILD_CACHE/uv/bin/uv sync --frozen --no-dev --inexact",
                "start python main.py",
            ],
        ),
        (
            &[("Pipfile", "[packages]\n"), ("Pipfile.lock", "{}"), run],
            &[
                "Python by Pipfile, Pipfile.lock",
                VENV,
                "install python3 -m venv $BUILD_CACHE/pipenv",
                "install $BUILD_CACHE/pipenv/bin/pip install pipenv",
                "install $BUILD_CACHE/pipenv/bin/pipenv sync",
                "start python main.py",
            ],
        ),
        (
            &[("pyproject.toml", "[tool.black]\n"), ("requirements.txt", ""), run],
            &[
                "Python by requirements.txt",
                VENV,
                "install .venv/bin/pip install -r requirements.txt",
                "start python main.py",
            ],
        ),
    ]);
    let files = [("pyproject.toml", "[tool.poetry]\n"), ("poetry.lock", ""), run];
    let found = detected_with(&["python3", "poetry"], &files).expect("detected");
    let install: Vec<_> = found.plan.install.iter().map(|command| command.as_str()).collect();
    assert_eq!(install, ["python3 -m venv .venv", "poetry install --only main --no-root --no-interaction"]);
}

#[test]
fn an_application_is_started_by_the_server_that_is_required() {
    let flask = "from flask import Flask\napp = Flask(__name__)\n";
    let fastapi = "import fastapi\napi = fastapi.FastAPI()\n";
    for (requirements, file, text, start) in [
        ("flask\ngunicorn", "app.py", flask, "gunicorn app:app --bind 127.0.0.1:$PORT"),
        ("flask\nwaitress", "app.py", flask, "waitress-serve --listen 127.0.0.1:$PORT app:app"),
        ("flask", "main.py", flask, "flask --app main run --host 127.0.0.1 --port $PORT"),
        ("fastapi\nuvicorn[standard]", "main.py", fastapi, "uvicorn main:api --host 127.0.0.1 --port $PORT"),
        ("fastapi[standard]", "app/main.py", fastapi, "uvicorn app.main:api --host 127.0.0.1 --port $PORT"),
        ("fastapi==0.1\nhypercorn", "main.py", fastapi, "hypercorn main:api --bind 127.0.0.1:$PORT"),
        (
            "fastapi\nuvicorn\ngunicorn",
            "main.py",
            fastapi,
            "gunicorn main:api --worker-class uvicorn.workers.UvicornWorker --bind 127.0.0.1:$PORT",
        ),
        ("flask\ngunicorn", "app/__init__.py", flask, "gunicorn app:app --bind 127.0.0.1:$PORT"),
        (
            "flask\ngunicorn",
            "wsgi.py",
            "from x import create_app\napplication = create_app()\n",
            "gunicorn wsgi:application --bind 127.0.0.1:$PORT",
        ),
        ("starlette", "main.py", "app = Starlette()\nif __name__ == '__main__':\n  run()", "python main.py"),
        ("requests", "server.py", "x = 1", "python server.py"),
    ] {
        let found = detected(&[("requirements.txt", requirements), (file, text)]).expect(requirements);
        assert_eq!(found.plan.run.start.to_string(), start, "{requirements}");
    }
}

#[test]
fn django_is_started_by_the_module_of_its_project() {
    let manage = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'shop.settings')\n";
    let settings = ("shop/settings.py", "DEBUG = False\nSTATIC_ROOT = BASE_DIR / 'static'\n");
    let django = |requirements: &'static str| {
        [
            ("manage.py", manage),
            settings,
            ("shop/wsgi.py", ""),
            ("shop/asgi.py", ""),
            ("requirements.txt", requirements),
        ]
    };
    for (requirements, start) in [
        ("Django>=5\ngunicorn", "gunicorn shop.wsgi:application --bind 127.0.0.1:$PORT"),
        ("django\nuvicorn", "uvicorn shop.asgi:application --host 127.0.0.1 --port $PORT"),
        ("django\ndaphne", "daphne -b 127.0.0.1 -p $PORT shop.asgi:application"),
        ("django", "python manage.py runserver --noreload 127.0.0.1:$PORT"),
    ] {
        let found = detected(&django(requirements)).expect(requirements);
        assert_eq!(found.plan.run.start.to_string(), start, "{requirements}");
        assert_eq!(found.plan.build[0].as_str(), "python manage.py collectstatic --noinput");
    }
}

#[test]
fn a_lone_script_needs_nothing_installed() {
    check(&[(&[("server.py", "print()")], &["Python by server.py", "start python3 server.py"])]);
}

#[test]
fn a_version_that_is_asked_for_is_a_note() {
    let files =
        [("requirements.txt", ""), ("app.py", ""), (".python-version", "# the version\n3.14\n"), ("x", "")];
    let found = detected(&files).expect("detected");
    assert_eq!(found.notes, ["the repository asks for Python 3.14; the one of this server is used"]);
}
