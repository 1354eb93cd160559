//! Strings from outside reach a program in a container as they are, and no shell.

use domain::secret::Secret;

use crate::runtime::stage::Stage;

/// What a shell would do something with.
const HOSTILE: &str = "$(touch /canary) `touch /canary`; touch /canary #'\" && * ~ ${PATH}";

#[tokio::test]
async fn an_argument_is_what_it_is_in_one_program_and_in_several() {
    let stage = Stage::new();
    let commands = [
        "printf '<%s>\\n' $V end",
        "true && cd /etc && A=$V printf '<%s>\\n' $V end && cat passwd && ls -a /",
    ];
    for command in commands {
        let mut request = stage.instance(command);
        request.environment.variables.insert("V".into(), Secret::new(HOSTILE));
        let (exit, printed) = stage.run(&request).await;
        assert_eq!(exit.exit, "exit status 0", "{printed:?}");
        assert!(printed.contains(&format!("<{HOSTILE}>")), "{printed:?}");
        assert!(!printed.contains(&"canary".to_owned()), "{printed:?}");
    }
    let printed = stage.printed().await;
    assert!(printed.iter().any(|line| line.starts_with("root:x:0:0")), "it ran in /etc");
    stage.is_empty().await;
}

#[tokio::test]
async fn a_command_can_refer_to_what_the_image_says() {
    let stage = Stage::new();
    let (_, printed) = stage.run(&stage.instance("printf '%s %s\\n' $PATH $PORT")).await;
    assert!(printed[0].contains("/bin") && printed[0].ends_with(" 8080"), "{printed:?}");
}
