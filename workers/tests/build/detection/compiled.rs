//! Go, Rust, Java, and pages that need no building.

use super::{check, detected};

const GO: &str = "package main\nfunc main() {}\n";

#[test]
fn a_program_of_go_is_the_root_or_one_of_cmd() {
    let module = ("go.mod", "module example.com/shop/v2\n\ngo 1.22\n");
    check(&[
        (
            &[module, ("main.go", GO), ("x.go", "package main\n")],
            &["Go by go.mod", "build go build -trimpath -buildvcs=false -o bin/shop .", "start bin/shop"],
        ),
        (
            &[module, ("lib.go", "package shop\n"), ("cmd/web/main.go", GO), ("cmd/job/main.go", GO)],
            &[
                "Go by go.mod",
                "build go build -trimpath -buildvcs=false -o bin/ ./cmd/job ./cmd/web",
                "start bin/web",
            ],
        ),
        (
            &[module, ("main.go", GO), ("cmd/job/main.go", GO), ("gen.go", "//go:build ignore\npackage x\n")],
            &[
                "Go by go.mod",
                "build go build -trimpath -buildvcs=false -o bin/shop .",
                "build go build -trimpath -buildvcs=false -o bin/ ./cmd/job",
                "start bin/shop",
            ],
        ),
    ]);
}

#[test]
fn a_program_of_rust_is_the_package_or_the_only_one_of_a_workspace() {
    let package = "[package]\nname = \"shop\"\n";
    check(&[
        (
            &[("Cargo.toml", package), ("src/main.rs", "")],
            &["Rust by Cargo.toml", "build cargo build --release", "start target/release/shop"],
        ),
        (
            &[
                (
                    "Cargo.toml",
                    "[package]\nname = \"shop\"\n[[bin]]\nname = \"web\"\npath = \"src/main.rs\"\n",
                ),
                ("src/main.rs", ""),
                ("Cargo.lock", ""),
            ],
            &[
                "Rust by Cargo.toml, Cargo.lock",
                "build cargo build --release --locked",
                "start target/release/web",
            ],
        ),
        (
            &[
                ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n"),
                ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
                ("crates/a/src/lib.rs", ""),
                ("crates/b/Cargo.toml", "[package]\nname = \"b\"\n"),
                ("crates/b/src/main.rs", ""),
            ],
            &["Rust by Cargo.toml", "build cargo build --release", "start target/release/b"],
        ),
    ]);
    let two = [("Cargo.toml", package), ("src/main.rs", ""), ("src/bin/job.rs", "")];
    assert_eq!(detected(&two).expect_err("two").code, "start_not_found");
    let default = [("Cargo.toml", "[package]\nname = \"a\"\ndefault-run = \"job\""), ("src/bin/job.rs", "")];
    assert_eq!(detected(&default).expect("named").plan.run.start.to_string(), "target/release/job");
}

#[test]
fn the_archive_of_maven_is_named_as_maven_names_it() {
    let plugin = "<plugin><artifactId>spring-boot-maven-plugin</artifactId></plugin>";
    let parent = "<parent><version>3.1</version></parent>";
    let maven = "mvn --batch-mode --no-transfer-progress -DskipTests package";
    for (inside, start) in [
        (
            format!("<artifactId>shop</artifactId><version>1.0</version>{plugin}"),
            "java -Dserver.port=$PORT -jar target/shop-1.0.jar",
        ),
        (
            format!("{parent}<artifactId>a</artifactId><packaging>war</packaging>{plugin}"),
            "java -Dserver.port=$PORT -jar target/a-3.1.war",
        ),
        (
            "<artifactId>a</artifactId><version>${v}</version><properties><v>2</v></properties>".to_owned(),
            "java -jar target/a-2.jar",
        ),
        (
            "<artifactId>a</artifactId><version>1</version><build><finalName>app</finalName></build>"
                .to_owned(),
            "java -jar target/app.jar",
        ),
        (
            "<artifactId>a</artifactId><artifactId>quarkus-maven-plugin</artifactId>".to_owned(),
            "java -Dquarkus.http.port=$PORT -jar target/quarkus-app/quarkus-run.jar",
        ),
    ] {
        let pom = format!("<project>{inside}</project>");
        let found = detected(&[("pom.xml", &pom)]).expect(&pom);
        assert_eq!(found.plan.run.start.to_string(), start, "{pom}");
        assert_eq!(found.plan.build[0].as_str(), maven);
    }
}

#[test]
fn pages_are_served_as_they_are() {
    check(&[
        (&[("index.html", "<p>")], &["static site by index.html", "start serve the files of ."]),
        (
            &[("public/index.html", "<p>"), ("README.md", "")],
            &["static site by public/index.html", "start serve the files of public"],
        ),
    ]);
}

#[test]
fn what_compiles_goes_before_its_web_parts() {
    let found = detected(&[
        ("go.mod", "module x\n"),
        ("main.go", GO),
        ("package.json", r#"{"scripts": {"start": "vite"}}"#),
        ("index.html", ""),
    ])
    .expect("detected");
    assert_eq!(found.plan.run.start.to_string(), "bin/x");
    assert_eq!(found.notes, ["also found, and not built: Node.js (package.json); static site (index.html)"]);
}
