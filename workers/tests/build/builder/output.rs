//! What a build is given, and what of its output is shown.

use super::{Workshop, plan};

#[tokio::test]
async fn commands_run_one_after_the_other_and_are_said() {
    let workshop = Workshop::new(&[("a.sh", "echo $1 >> out; echo said $1"), ("sub/x", "")]);
    let mut plan = plan(&["sh a.sh one", "cd sub && sh ../a.sh 'two words'"]);
    plan.install = vec!["sh a.sh zero".parse().expect("sound")];
    workshop.build(&plan).await.expect("built");
    assert_eq!(std::fs::read_to_string(workshop.at("out")).expect("written"), "zero\none\n");
    assert_eq!(std::fs::read_to_string(workshop.at("sub/out")).expect("written"), "two words\n");
    let lines = workshop.platform.lines_after("said two").await;
    assert_eq!(
        lines,
        [
            "install: sh a.sh zero",
            "said zero",
            "build: sh a.sh one",
            "said one",
            "build: cd sub && sh ../a.sh 'two words'",
            "said two words"
        ]
    );
    assert_eq!(workshop.beside(), ["app"]);
}

#[tokio::test]
async fn a_build_is_given_what_is_meant_for_it_and_nothing_else() {
    let workshop = Workshop::with(
        &[("a.sh", "env | sort > out; echo $HOME $TMPDIR > dirs; touch $HOME/x $TMPDIR/x")],
        |settings| {
            settings.environment = [("HTTPS_PROXY".to_owned(), "http://proxy".to_owned())].into();
        },
    );
    let workshop =
        workshop.variables(&[("CI", "no"), ("HOME", "/root"), ("PATH", "/nowhere"), ("MINE", "yes")]);
    workshop.build(&plan(&["sh a.sh"])).await.expect("built");
    let environment = std::fs::read_to_string(workshop.at("out")).expect("written");
    let has = |line: &str| environment.lines().any(|found| found == line);
    assert!(has("MINE=yes") && has("CI=no") && has("HTTPS_PROXY=http://proxy"), "{environment}");
    assert!(!has("HOME=/root") && !has("PATH=/nowhere"), "{environment}");
    assert!(
        !environment.contains("RUST_BACKTRACE") && !environment.contains("CARGO_MANIFEST_DIR"),
        "{environment}"
    );
    let directories = std::fs::read_to_string(workshop.at("dirs")).expect("written");
    let own = workshop.platform.workspace();
    let own = own.parent().expect("below").display().to_string();
    assert!(directories.split_whitespace().all(|directory| directory.starts_with(&own)), "{directories}");
    assert_eq!(workshop.beside(), ["app"], "home and temporary files are gone");
}

#[tokio::test]
async fn values_of_variables_are_not_shown_however_they_are_printed() {
    let script = r#"
        echo "is $TOKEN."
        printf 'hunt'; sleep 0.05; printf 'er22-hunter22\n'
        echo "$KEY" >&2
        printf '%s' "$TOKEN$TOKEN"; printf '\r\n'
        printf '%s' "$TOKEN" | base64
        head -c 16350 /dev/zero | tr '\0' x; printf '%s and more that is cut\n' "$TOKEN"
        echo $SHORT
        echo done
    "#;
    let workshop = Workshop::new(&[("a.sh", script)]).variables(&[
        ("TOKEN", "hunter22-hunter22"),
        ("KEY", "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----"),
        ("SHORT", "short"),
    ]);
    workshop.build(&plan(&["sh a.sh"])).await.expect("built");
    let lines = workshop.platform.lines_after("done").await;
    assert!(lines.iter().all(|line| !line.contains("hunter") && !line.contains("MIIE")), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line == "is ***.") && lines.iter().any(|line| line == "short"),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line == "******"), "{lines:#?}");
}

#[tokio::test]
async fn a_failure_repeats_no_value() {
    let workshop =
        Workshop::new(&[]).variables(&[("TOOL", "hunter22-hunter22"), ("FILE", "./hunter22-hunter22")]);
    for command in ["$TOOL run", "$FILE run", "sh $FILE"] {
        let error = workshop.build(&plan(&[command])).await.expect_err(command);
        assert!(!error.to_string().contains("hunter22"), "{error}");
    }
}
