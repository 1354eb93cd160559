//! Every limit of a name or a value, at its edge and one past it. Each is said in the message of its error.

use std::fmt::Display;
use std::str::FromStr;

use domain::command_line::{self, CommandLine};
use domain::hostname::Hostname;
use domain::manifest::{self, InvalidManifest, Manifest};
use domain::name::{EnvironmentName, ProjectName, RESERVED, ServiceName, VariableName};
use domain::rejection::Rejection;
use domain::service::{MAX_VARIABLE_LENGTH, check_variable_value};
use domain::source::{GitRef, MAX_REFERENCE_LENGTH, MAX_URL_LENGTH, RepositoryUrl};

/// Takes texts of `min` to `max` characters made of `fill`, and no shorter or longer ones.
#[track_caller]
fn takes<T: FromStr<Err: Display>>(fill: &str, min: usize, max: usize) {
    let of = |length: usize| fill.chars().cycle().take(length).collect::<String>();
    for length in [min, max] {
        assert!(of(length).parse::<T>().is_ok(), "{length} characters are refused");
    }
    if let Some(short) = min.checked_sub(1) {
        assert!(of(short).parse::<T>().is_err(), "{short} characters are taken");
    }
    let Err(error) = of(max + 1).parse::<T>() else { panic!("{} characters are taken", max + 1) };
    assert!(error.to_string().contains(&max.to_string()), "{error} does not say {max}");
}

#[test]
fn a_project_name_has_3_to_50_characters() {
    takes::<ProjectName>("a-_Z9", 3, 50);
}

#[test]
fn an_environment_name_has_1_to_30_characters() {
    takes::<EnvironmentName>("ab9", 1, 30);
}

#[test]
fn a_service_name_has_1_to_40_characters() {
    takes::<ServiceName>("ab9", 1, 40);
}

#[test]
fn a_variable_name_has_1_to_100_characters() {
    takes::<VariableName>("A_9", 1, 100);
}

#[test]
fn a_command_has_1_to_4096_characters() {
    takes::<CommandLine>("ä", 1, command_line::MAX_LENGTH);
}

#[test]
fn a_name_is_measured_in_characters_and_says_which_one_is_wrong() {
    let error = "größe".parse::<ProjectName>().expect_err("not a letter of ASCII").to_string();
    assert!(error.contains("'ö'"), "{error}");
    let error = "ö".repeat(51).parse::<ProjectName>().expect_err("too long").to_string();
    assert!(error.contains("51 characters"), "{error}");
}

#[test]
fn the_words_of_the_interface_are_reserved_and_a_message_says_what_to_do() {
    for word in ["api", "www", "admin", "app", "mail", "ftp"] {
        assert!(RESERVED.contains(&word), "{word}");
        let error = word.parse::<ProjectName>().expect_err("reserved");
        assert_eq!(error.code(), "name_reserved");
        assert!(error.to_string().contains(&format!("my-{word}")), "{error}");
        assert!(format!("my-{word}").parse::<ProjectName>().is_ok());
    }
}

#[test]
fn a_hostname_has_labels_of_63_and_253_characters_in_all() {
    let label = "a".repeat(63);
    assert!(format!("{label}.x").parse::<Hostname>().is_ok());
    assert!(format!("{label}a.x").parse::<Hostname>().is_err());
    let whole = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(whole.len(), 253);
    assert!(whole.parse::<Hostname>().is_ok());
    assert!(format!("{whole}a").parse::<Hostname>().is_err());
}

/// The longest names there are make a hostname that can be read back from its event.
#[test]
fn the_longest_names_make_a_hostname() {
    let service: ServiceName = "s".repeat(40).parse().expect("valid");
    let environment: EnvironmentName = "e".repeat(30).parse().expect("valid");
    let project: ProjectName = "P".repeat(50).parse().expect("valid");
    let hostname = Hostname::of_service(&service, &environment, &project, "apps.example.com");
    assert_eq!(hostname.as_str().parse(), Ok(hostname.clone()));
}

#[test]
fn a_variables_value_has_a_thousand_characters_and_no_nul() {
    let name: VariableName = "A".parse().expect("valid");
    for value in ["", "a b\n\tc=\"d\"", &"ö".repeat(MAX_VARIABLE_LENGTH)] {
        assert_eq!(check_variable_value(&name, value), Ok(()));
    }
    for value in [&"ö".repeat(MAX_VARIABLE_LENGTH + 1), "secret\0"] {
        let error = check_variable_value(&name, value).expect_err("against the rules");
        assert_eq!((error.code(), error.field()), ("variable_invalid", Some("variables")));
        assert!(!error.to_string().contains("secret"), "the value is in the message");
    }
}

#[test]
fn the_address_of_a_repository_has_2048_characters() {
    let of = |length: usize| format!("https://host/{}", "a".repeat(length - "https://host/".len()));
    assert!(of(MAX_URL_LENGTH).parse::<RepositoryUrl>().is_ok());
    assert!(of(MAX_URL_LENGTH + 1).parse::<RepositoryUrl>().is_err());
}

/// What is recorded is the address put together anew. It must not be longer than what can be read again.
#[test]
fn an_address_that_grows_over_the_limit_when_it_is_put_together_anew_is_refused() {
    let grows = format!("https://host/{}", "ö".repeat(900));
    assert!(grows.len() <= MAX_URL_LENGTH);
    assert!(grows.parse::<RepositoryUrl>().is_err());
}

#[test]
fn the_name_of_a_branch_has_250_bytes() {
    assert!("a".repeat(MAX_REFERENCE_LENGTH).parse::<GitRef>().is_ok());
    assert!("a".repeat(MAX_REFERENCE_LENGTH + 1).parse::<GitRef>().is_err());
}

#[test]
fn a_manifest_has_64_kib() {
    let of = |length: usize| format!("# {}\n", "x".repeat(length - 3));
    assert_eq!(Manifest::parse(&of(manifest::MAX_SIZE)), Ok(Manifest::default()));
    assert_eq!(Manifest::parse(&of(manifest::MAX_SIZE + 1)), Err(InvalidManifest::TooLarge));
}

#[test]
fn the_numbers_of_a_manifest_have_their_limits() {
    for (key, least, most, below, above) in [
        ("port", "1", "65535", "0", "65536"),
        ("replicas", "1", "100", "0", "101"),
        ("cpu", "0.01", "256", "0.009", "256.1"),
        ("memory", "\"1Mi\"", "\"1024Gi\"", "\"1023Ki\"", "\"1025Gi\""),
        ("drain", "\"0s\"", "\"1h\"", "\"-1s\"", "\"3601s\""),
    ] {
        for value in [least, most] {
            let text = format!("[run]\n{key} = {value}\n");
            assert!(Manifest::parse(&text).is_ok(), "{text}");
        }
        for value in [below, above, "\"\"", "nan", "[]"] {
            let text = format!("[run]\n{key} = {value}\n");
            let Err(InvalidManifest::Line { line, .. }) = Manifest::parse(&text) else {
                panic!("{text} is taken")
            };
            assert_eq!(line, 2, "{text}");
        }
    }
}
