//! A real build of each language whose tools this machine has, from the registries of packages; what came of
//! it is started as the runtime starts it, and asked for its page.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use domain::deployment::step::{Fence, Step};
use domain::plan::Plan;
use domain::secret::Secret;
use domain::service::release::InstanceId;
use workers::builder::process::run_defaults;
use workers::registry::Registry;
use workers::registry::local::{ARTIFACT_MAX, LocalRegistry};
use workers::runtime::process::{ProcessRuntime, Settings};
use workers::runtime::{Environment, InstanceRequest, Runtime};

use super::Workshop;
use crate::platform::environment;

const FLASK: &str = "
from flask import Flask
app = Flask(__name__)

@app.get('/')
def page():
    return 'hello from flask'
";

const PROJECT: &str = r#"
[project]
name = "x"
version = "1"
requires-python = ">=3.9"
dependencies = []
"#;

const UV_LOCK: &str = r#"
version = 1
revision = 1
requires-python = ">=3.9"

[[package]]
name = "x"
version = "1"
source = { virtual = "." }
"#;

const PYTHON: &str = "
import http.server, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'hello from python')

http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
";

const GO: &str = r#"
package main

import (
	"io"
	"net/http"
	"os"
)

func page(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello from go") }

func main() {
	http.HandleFunc("/", page)
	http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
}
"#;

const JAVA: &str = r#"
import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;

public class Main {
    public static void main(String[] words) throws Exception {
        var port = Integer.parseInt(System.getenv("PORT"));
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", exchange -> {
            var page = "hello from java".getBytes();
            exchange.sendResponseHeaders(200, page.length);
            exchange.getResponseBody().write(page);
            exchange.close();
        });
        server.start();
    }
}
"#;

/// The page of what was built.
async fn page(workshop: &Workshop, plan: &Plan) -> String {
    let platform = &workshop.platform;
    let directory = platform.data.path().join("instances");
    let settings = Settings::new(directory, environment().remove("PATH").expect("set"));
    let runtime = ProcessRuntime::open(settings, platform.supervisor.clone()).expect("opened");
    let defaults = run_defaults(plan.language).iter();
    let variables: BTreeMap<_, _> =
        defaults.map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
    let id = InstanceId { deployment: platform.deployment, ordinal: 0 };
    let request = InstanceRequest {
        id,
        start: plan.run.start.clone(),
        environment: Environment {
            organization: domain::id::OrganizationId(uuid::Uuid::nil()),
            service: workshop.request.service,
            files: workers::registry::Files::Directory(workshop.request.directory.clone()),
            port: None,
            read_only: false,
            root: plan.root.clone(),
            variables,
            memory_bytes: None,
            cpu_millis: None,
        },
        address: None,
    };
    let instance = runtime.start(Fence(1), &request, platform.output()).await.expect("started");
    let asking = tokio::task::spawn_blocking(move || ask(instance.address));
    let answer = asking.await.expect("no panic");
    runtime.stop(id, Duration::from_secs(5)).await.expect("stopped");
    answer.unwrap_or_else(|| panic!("{} does not answer: {:#?}", plan.run.start, platform.lines()))
}

/// Asks until there is an answer, for half a minute.
fn ask(address: SocketAddr) -> Option<String> {
    for _ in 0..300 {
        let answer = TcpStream::connect(address).and_then(|mut stream| {
            stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).map(|_| answer)
        });
        match answer {
            Ok(answer) if answer.contains(" 200 ") => return Some(answer),
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    }
    None
}

#[tokio::test]
async fn python_with_flask_and_gunicorn() {
    let tree = [("requirements.txt", "flask==3.1.2\ngunicorn==23.0.0\ndocopt==0.6.2\n"), ("app.py", FLASK)];
    let mut workshop = Workshop::new(&tree);
    let plan = workshop.detect_and_build().await;
    assert!(page(&workshop, &plan).await.contains("hello from flask"));
    workshop.next(&tree);
    workshop.detect_and_build().await;
    // The registry that tests reach here forbids to cache what it sends; what pip built itself is cached
    // nevertheless.
    workshop.platform.wait_for("  Using cached docopt").await;
}

#[tokio::test]
async fn python_by_uv_which_comes_from_the_index_itself() {
    let tree = [("pyproject.toml", PROJECT), ("uv.lock", UV_LOCK), ("main.py", PYTHON)];
    let workshop = Workshop::with(&tree, |settings| settings.path = without("uv", &settings.path));
    let plan = workshop.detect_and_build().await;
    assert!(page(&workshop, &plan).await.contains("hello from python"));
}

/// The path without the directories that hold a program.
fn without(program: &str, path: &str) -> String {
    let lacks = |directory: &&str| !std::path::Path::new(directory).join(program).exists();
    path.split(':').filter(lacks).collect::<Vec<_>>().join(":")
}

#[tokio::test]
async fn a_script_of_python_alone_whatever_version_it_asks_for() {
    let workshop = Workshop::new(&[("server.py", PYTHON), (".python-version", "3.99\n"), ("x", "")]);
    let plan = workshop.detect_and_build().await;
    assert!(plan.install.is_empty());
    assert!(page(&workshop, &plan).await.contains("hello from python"));
}

#[tokio::test]
async fn node_with_a_dependency_and_a_build() {
    let package = r#"{
        "name": "shop", "version": "1.0.0",
        "scripts": {"build": "node build.js", "start": "node server.js"},
        "dependencies": {"ms": "2.1.3"}, "devDependencies": {"is-number": "7.0.0"}
    }"#;
    let build = "require('is-number'); require('fs').writeFileSync('page', 'hello ' + require('ms')('1h'))";
    let server = "const page = require('fs').readFileSync('page'); require('http').createServer((q, a) => \
                  a.end(page + process.env.NODE_ENV)).listen(process.env.PORT, '127.0.0.1')";
    let tree = [("package.json", package), ("build.js", build), ("server.js", server)];
    let mut workshop = Workshop::new(&tree).variables(&[("NODE_ENV", "production")]);
    let plan = workshop.detect_and_build().await;
    assert!(page(&workshop, &plan).await.contains("hello 3600000production"));
    // Without any network: everything is in the cache of the service.
    let lock = fs::read_to_string(workshop.at("package-lock.json")).expect("made by npm");
    workshop.next(&tree);
    workshop = workshop.variables(&[("npm_config_offline", "true")]);
    fs::write(workshop.at("package-lock.json"), with_addresses(&lock)).expect("written");
    let plan = workshop.detect_and_build().await;
    assert_eq!(plan.install[0].as_str(), "npm ci --include=dev");
}

/// A lock file with the addresses of packages in it, which this machine's npm is told to leave out.
fn with_addresses(lock: &str) -> String {
    let mut lock: serde_json::Value = serde_json::from_str(lock).expect("JSON");
    for (path, package) in lock["packages"].as_object_mut().expect("packages") {
        if let Some(name) = path.strip_prefix("node_modules/") {
            let version = package["version"].as_str().expect("a version");
            let address = format!("https://registry.npmjs.org/{name}/-/{name}-{version}.tgz");
            package["resolved"] = address.into();
        }
    }
    lock.to_string()
}

#[tokio::test]
async fn go_compiles_once_for_the_same_files() {
    let tree =
        [("go.mod", "module example.com/shop\n\ngo 1.21\n"), ("main.go", GO), ("Procfile", "web: shop\n")];
    let mut workshop = Workshop::new(&tree);
    let plan = workshop.detect_and_build().await;
    assert!(page(&workshop, &plan).await.contains("hello from go"));
    let registry = LocalRegistry::new(workshop.platform.data.path(), ARTIFACT_MAX);
    let first =
        registry.push(workshop.platform.key(Step::Push, 1), &workshop.request, "a").await.expect("pushed");
    workshop.next(&tree);
    workshop.detect_and_build().await;
    let again =
        registry.push(workshop.platform.key(Step::Push, 1), &workshop.request, "b").await.expect("pushed");
    assert_eq!(first, again, "the same files give the same program, wherever it was built");
}

#[tokio::test]
async fn rust_without_dependencies_and_again_from_its_cache() {
    let main = r#"
        use std::io::{Read, Write};
        fn main() {
            let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
            for stream in std::net::TcpListener::bind(("127.0.0.1", port)).unwrap().incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello from rust").unwrap();
            }
        }
    "#;
    let cargo = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let lock = "version = 3\n\n[[package]]\nname = \"shop\"\nversion = \"0.1.0\"\n";
    let tree = [("Cargo.toml", cargo), ("Cargo.lock", lock), ("src/main.rs", main)];
    let mut workshop = Workshop::new(&tree);
    let plan = workshop.detect_and_build().await;
    assert!(page(&workshop, &plan).await.contains("hello from rust"));
    assert!(!workshop.at("target/release/deps").exists(), "only the program belongs to the service");
    workshop.next(&tree);
    workshop.detect_and_build().await;
    assert!(workshop.at("target/release/shop").exists());
}

#[tokio::test]
async fn java_by_maven() {
    let pom = r#"<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
        <groupId>x</groupId><artifactId>shop</artifactId><version>1.0</version>
        <properties><maven.compiler.source>17</maven.compiler.source>
        <maven.compiler.target>17</maven.compiler.target>
        <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties>
        <build><plugins><plugin><artifactId>maven-jar-plugin</artifactId><version>3.4.2</version>
        <configuration><archive><manifest><mainClass>Main</mainClass></manifest></archive></configuration>
        </plugin></plugins></build>
        </project>"#;
    let workshop = Workshop::new(&[("pom.xml", pom), ("src/main/java/Main.java", JAVA)]);
    let plan = workshop.detect_and_build().await;
    assert!(page(&workshop, &plan).await.contains("hello from java"));
}

#[tokio::test]
async fn pages_are_served() {
    let workshop = Workshop::new(&[("index.html", "hello from a page")]);
    let plan = workshop.detect_and_build().await;
    assert!(page(&workshop, &plan).await.contains("hello from a page"));
}
