//! What a build came to: something to start, where the plan says.

use domain::plan::{Language, Plan, Start};

use super::{Workshop, plan};
use crate::files;

fn site(directory: &str, command: &str) -> Plan {
    let mut plan = plan(&[command]);
    plan.language = Language::Node;
    plan.run.start = Start::Static { directory: directory.into() };
    plan
}

#[tokio::test]
async fn pages_are_served_from_where_the_plan_says() {
    for made in ["dist", "build", "out", "dist/shop/browser", "_site"] {
        let workshop = Workshop::new(&[]);
        workshop
            .build(&site("dist", &format!("mkdir -p {made} && cp /dev/null {made}/index.html")))
            .await
            .expect(made);
        assert_eq!(files::listing(&workshop.at("dist")), ["index.html="], "{made}");
    }
}

#[tokio::test]
async fn a_build_that_makes_no_page_has_nothing_to_serve() {
    for command in ["true", "mkdir dist", "mkdir -p dist && cp /dev/null dist/index.js"] {
        let error = Workshop::new(&[]).build(&site("dist", command)).await.expect_err(command);
        assert_eq!(error.code, "build_failed");
        assert!(error.message.contains("there is no index.html in dist, build, out"), "{error}");
    }
}

fn java(start: &str, commands: &[&str]) -> Plan {
    let mut plan = plan(commands);
    plan.language = Language::Java;
    plan.run.start = Start::Command(start.parse().expect("sound"));
    plan
}

#[tokio::test]
async fn the_only_archive_that_can_be_run_is_the_one_that_is_started() {
    let start = "java -Dserver.port=$PORT -jar target/shop-1.jar";
    let make = "sh make.sh";
    for (made, found) in [
        ("shop-1.jar", Some("shop-1.jar")),
        ("shop-2.jar shop-2-sources.jar original-shop-2.jar shop-2-plain.jar", Some("shop-2.jar")),
        ("a.jar b.jar", None),
        ("", None),
    ] {
        let script = format!("mkdir -p target; for name in {made}; do echo $name > target/$name; done");
        let workshop = Workshop::new(&[("make.sh", &script)]);
        let built = workshop.build(&java(start, &[make])).await;
        match found {
            Some(name) => {
                built.expect(made);
                let text = std::fs::read_to_string(workshop.at("target/shop-1.jar")).expect("there");
                assert_eq!(text.trim(), name);
            }
            None => {
                assert!(built.expect_err(made).message.contains("which the build did not make"), "{made}")
            }
        }
    }
    // What a Procfile says is not ours to judge.
    Workshop::new(&[]).build(&java("java -jar other.jar", &["true"])).await.expect("built");
}

#[tokio::test]
async fn programs_of_go_are_found_by_their_name() {
    let workshop = Workshop::new(&[("bin/shop", "#!/bin/sh\necho shop"), ("bin/text", "x")]);
    let mut plan = plan(&["true"]);
    plan.language = Language::Go;
    workshop.build(&plan).await.expect("built");
    assert_eq!(files::listing(&workshop.at(".switchback/bin")), ["shop->../../bin/shop"]);
}
