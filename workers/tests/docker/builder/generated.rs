//! Dockerfiles made of plans.

use domain::plan::Language;

use crate::builder::Workshop;

#[tokio::test]
async fn a_static_site_is_an_image_that_serves_it() {
    let workshop = Workshop::new(&[("index.html", "<h1>hello</h1>"), ("css/x.css", "x"), (".git/x", "x")]);
    let plan = workshop.built().await;
    assert_eq!(plan.language, Language::Static);
    let files = workshop.files().await;
    assert_eq!(files["/site/index.html"], b"<h1>hello</h1>");
    assert!(files.contains_key("/site/css/x.css"));
    let config = workshop.engine.client.inspect_image(&workshop.image()).await.unwrap().config.unwrap();
    assert_eq!(config.user.as_deref(), Some("10001:10001"));
    assert!(config.cmd.unwrap().join(" ").contains("httpd"));
}

#[tokio::test]
async fn commands_run_as_a_user_without_rights_and_see_the_variables() {
    let manifest = "[build]\ninstall = \"sh ./install $MODE\"\nbuild = \"WORD=x sh ./build\"\n[run]\ncommand = \"./run\"\n";
    let workshop = Workshop::new(&[
        ("switchback.toml", manifest),
        (
            "install",
            "echo \"install $1 as $(id -u) in $PWD\"; echo made > made; echo kept > $BUILD_CACHE/kept",
        ),
        ("build", "echo \"build $WORD, $MODE, $CI, $(cat made)\"; echo \"lines of $LINES_OF.\""),
    ])
    .variables(&[("MODE", "fast-and-secret"), ("LINES_OF", "one\ntwo\n"), ("HOME", "/evil")]);
    workshop.built().await;
    let lines = workshop.lines();
    let has = |text: &str| assert!(lines.iter().any(|line| line == text), "{text}: {lines:#?}");
    has("install: sh ./install $MODE");
    has("install *** as 10001 in /app");
    has("build x, ***, true, made");
    has("lines of one");
    has("two");
    has(".");
    let files = workshop.files().await;
    assert_eq!(files["/app/made"], b"made\n");
    assert!(!files.keys().any(|path| path.contains("kept")));
}

#[tokio::test]
async fn a_second_build_takes_what_is_the_same_from_the_cache_and_keeps_its_caches() {
    let manifest = "[build]\nbuild = \"sh ./build\"\n[run]\ncommand = \"./run\"\n";
    let build = "if [ -e $BUILD_CACHE/x ]; then echo found; else echo fresh; fi; touch $BUILD_CACHE/x";
    let tree = [("switchback.toml", manifest), ("build", build)];
    let mut workshop = Workshop::new(&tree);
    workshop.built().await;
    assert!(workshop.lines().contains(&"fresh".to_owned()), "{:#?}", workshop.lines());
    workshop.next(&tree);
    workshop.built().await;
    assert!(workshop.lines().iter().any(|line| line.starts_with("build: sh ./build: unchanged")));
    workshop.next(&[("switchback.toml", manifest), ("build", build), ("other", "x")]);
    workshop.built().await;
    assert!(workshop.lines().contains(&"found".to_owned()), "{:#?}", workshop.lines());
    workshop.other_service(&tree);
    workshop.built().await;
    assert!(workshop.lines().contains(&"fresh".to_owned()), "{:#?}", workshop.lines());
    workshop.next(&tree);
    workshop.request.fresh = true;
    workshop.built().await;
    assert!(workshop.lines().contains(&"found".to_owned()), "{:#?}", workshop.lines());
}

#[tokio::test]
async fn hostile_names_do_nothing() {
    let name = "$(touch /app/pwn)`touch /app/pwn`'; touch /app/pwn #\"\\";
    let manifest = "[build]\nbuild = \"sh ./build '$(touch /app/pwn)' '; touch /app/pwn' '<<EOF' \\\"$WORD\\\"\"\n\
                    [run]\ncommand = \"./run\"\n";
    let workshop = Workshop::new(&[
        ("switchback.toml", manifest),
        ("build", "for a; do echo \"got $a\"; done"),
        (name.replace('/', "_").as_str(), "x"),
    ])
    .variables(&[("WORD", "$(touch /app/pwn) \"x\" '; touch /app/pwn #")]);
    workshop.built().await;
    let files = workshop.files().await;
    assert!(!files.keys().any(|path| path.ends_with("/pwn")), "{:?}", files.keys());
    let lines = workshop.lines();
    for got in ["got $(touch /app/pwn)", "got ; touch /app/pwn", "got <<EOF", "got ***"] {
        assert!(lines.iter().any(|line| line == got), "{got}: {lines:#?}");
    }
}
