//! What of a Python application is started: an object of WSGI or ASGI by a server that is required, or a
//! script.

use crate::builder::detect::found::{Begin, quote};
use crate::builder::detect::python::requirements::Requirements;
use crate::builder::tree::Tree;

/// Modules that the object is looked for in.
const MODULES: [&str; 13] = [
    "app.py",
    "main.py",
    "wsgi.py",
    "asgi.py",
    "application.py",
    "server.py",
    "api.py",
    "run.py",
    "app/main.py",
    "app/app.py",
    "app/__init__.py",
    "src/main.py",
    "api/main.py",
];

/// Constructors of objects, and which protocol these speak.
const CONSTRUCTORS: [(&str, Protocol); 10] = [
    ("Flask", Protocol::Wsgi),
    ("FastAPI", Protocol::Asgi),
    ("Starlette", Protocol::Asgi),
    ("Quart", Protocol::Asgi),
    ("Litestar", Protocol::Asgi),
    ("Sanic", Protocol::Asgi),
    ("Bottle", Protocol::Wsgi),
    ("get_wsgi_application", Protocol::Wsgi),
    ("get_asgi_application", Protocol::Asgi),
    ("create_app", Protocol::Wsgi),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Wsgi,
    Asgi,
}

/// `module:object`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Application {
    name: String,
    module: String,
    protocol: Protocol,
    flask: bool,
}

pub(super) fn start(tree: &Tree, requirements: &Requirements) -> Result<Begin, String> {
    let application = django(tree, requirements).or_else(|| object(tree, requirements));
    if let Some(command) = application.as_ref().and_then(|found| served(found, requirements)) {
        return Ok(Begin::Command(command));
    }
    if tree.has("manage.py") {
        return Ok(Begin::Command("python manage.py runserver --noreload 127.0.0.1:$PORT".into()));
    }
    match application {
        Some(Application { module, flask: true, .. }) => {
            let module = quote(&module);
            Ok(Begin::Command(format!("flask --app {module} run --host 127.0.0.1 --port $PORT")))
        }
        // A module that starts its own server can be run as it is.
        Some(application) => match runnable(tree, &application.module) {
            Some(script) => Ok(Begin::Command(format!("python {script}"))),
            None => Err(format!(
                "{} is an application without a server: add gunicorn (WSGI) or uvicorn (ASGI) to the \
                 requirements",
                application.name
            )),
        },
        None => match tree.first(&["main.py", "app.py", "server.py", "run.py", "wsgi.py"]) {
            Some(script) => Ok(Begin::Command(format!("python {script}"))),
            None => Err(format!(
                "there is no object such as `app = Flask(…)` or `app = FastAPI(…)` in any of {}",
                MODULES.join(", ")
            )),
        },
    }
}

/// The command of Django that gathers the files of all its applications, when the project says where to.
pub(super) fn static_files(tree: &Tree, requirements: &Requirements) -> Option<String> {
    if !requirements.has("django") || !tree.has("manage.py") {
        return None;
    }
    let project = django_project(tree)?;
    let settings = tree.names(&format!("{project}/settings")).into_iter();
    let mut files: Vec<_> = settings.map(|entry| format!("{project}/settings/{}", entry.name)).collect();
    files.push(format!("{project}/settings.py"));
    let says = |line: &str| line.trim_start().starts_with("STATIC_ROOT");
    let said = files.iter().filter_map(|file| tree.text(file)).any(|text| text.lines().any(says));
    said.then(|| "python manage.py collectstatic --noinput".to_owned())
}

fn served(application: &Application, requirements: &Requirements) -> Option<String> {
    let name = quote(&application.name);
    let gunicorn = requirements.has("gunicorn");
    let command = match application.protocol {
        Protocol::Wsgi if gunicorn => format!("gunicorn {name} --bind 127.0.0.1:$PORT"),
        Protocol::Wsgi if requirements.has("waitress") => {
            format!("waitress-serve --listen 127.0.0.1:$PORT {name}")
        }
        Protocol::Asgi if requirements.has("uvicorn") && gunicorn => {
            format!("gunicorn {name} --worker-class uvicorn.workers.UvicornWorker --bind 127.0.0.1:$PORT")
        }
        Protocol::Asgi if requirements.has("uvicorn") => {
            format!("uvicorn {name} --host 127.0.0.1 --port $PORT")
        }
        Protocol::Asgi if requirements.has("hypercorn") => format!("hypercorn {name} --bind 127.0.0.1:$PORT"),
        Protocol::Asgi if requirements.has("daphne") => format!("daphne -b 127.0.0.1 -p $PORT {name}"),
        Protocol::Wsgi | Protocol::Asgi => return None,
    };
    Some(command)
}

/// The package of a Django project: the one that `manage.py` takes its settings from.
fn django_project(tree: &Tree) -> Option<String> {
    let text = tree.text("manage.py")?;
    let line = text.lines().find(|line| line.contains("DJANGO_SETTINGS_MODULE"))?;
    let settings = line.split(['"', '\'']).find(|part| part.contains(".settings"))?;
    let project = settings.split(".settings").next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    (!project.is_empty() && project.chars().all(plain)).then(|| project.replace('.', "/"))
}

fn django(tree: &Tree, requirements: &Requirements) -> Option<Application> {
    let project = django_project(tree)?;
    let of = |file: &str, protocol| {
        let module = format!("{}.{file}", project.replace('/', "."));
        let there = tree.has(&format!("{project}/{file}.py"));
        there.then(|| Application { name: format!("{module}:application"), module, protocol, flask: false })
    };
    let asgi = requirements.has("uvicorn") || requirements.has("daphne") || requirements.has("hypercorn");
    let (first, second) = (of("wsgi", Protocol::Wsgi), of("asgi", Protocol::Asgi));
    if asgi && !requirements.has("gunicorn") { second.or(first) } else { first.or(second) }
}

/// The first object in the modules where one is customary.
fn object(tree: &Tree, requirements: &Requirements) -> Option<Application> {
    MODULES.iter().find_map(|file| {
        let text = tree.text(file)?;
        let (variable, constructor, protocol) = text.lines().find_map(assignment)?;
        let protocol = match constructor {
            "create_app" if requirements.has("fastapi") || requirements.has("quart") => Protocol::Asgi,
            _ => protocol,
        };
        let module = file.trim_end_matches(".py").trim_end_matches("/__init__").replace('/', ".");
        let flask = constructor == "Flask" || (requirements.has("flask") && protocol == Protocol::Wsgi);
        Some(Application { name: format!("{module}:{variable}"), module, protocol, flask })
    })
}

/// `app = FastAPI(` or `app: Flask = flask.Flask(`, at the outermost level of a module.
fn assignment(line: &str) -> Option<(String, &'static str, Protocol)> {
    let (left, right) = line.split_once('=')?;
    let variable = left.split(':').next()?.trim_end();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if variable.is_empty() || !variable.chars().all(plain) {
        return None;
    }
    let called = right.trim_start().split('(').next().filter(|_| right.contains('('))?;
    let called = called.trim().rsplit('.').next()?;
    let (constructor, protocol) = CONSTRUCTORS.into_iter().find(|(name, _)| *name == called)?;
    Some((variable.to_owned(), constructor, protocol))
}

/// The script of a module that does something when it is run itself.
fn runnable(tree: &Tree, module: &str) -> Option<String> {
    let script = format!("{}.py", module.replace('.', "/"));
    let text = tree.text(&script)?;
    text.contains("__main__").then(|| quote(&script))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_by_its_constructor_at_the_outermost_level() {
        for (line, variable, constructor) in [
            ("app = Flask(__name__)", "app", "Flask"),
            ("api: FastAPI = fastapi.FastAPI(title='=')", "api", "FastAPI"),
            ("application=get_wsgi_application()", "application", "get_wsgi_application"),
        ] {
            let found = assignment(line).map(|(variable, constructor, _)| (variable, constructor));
            assert_eq!(found, Some((variable.to_owned(), constructor)), "{line}");
        }
        for line in
            ["    app = Flask(__name__)", "# app = Flask()", "app = Flask", "a.b = Flask()", "x == Flask()"]
        {
            assert_eq!(assignment(line), None, "{line}");
        }
    }
}
