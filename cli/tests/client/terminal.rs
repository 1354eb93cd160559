//! On a terminal: questions, colours, what is not echoed, and Ctrl-C.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::fake::{Fake, data, refusal, status};
use crate::follow::SERVICE;
use crate::person::Person;

/// Python's standard library has a terminal without a window: it runs its arguments on one, as `script` does.
const ON_A_TERMINAL: &str = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";

/// A command on a terminal.
struct Terminal {
    process: Child,
    seen: String,
}

impl Terminal {
    fn of(person: &Person, words: &[&str], environment: &[(&str, &str)]) -> Self {
        let wanted = person.command(words);
        let mut command = Command::new("python3");
        command.args(["-c", ON_A_TERMINAL]).arg(wanted.get_program()).args(wanted.get_args());
        command.env_clear().envs(wanted.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.envs(environment.iter().copied()).current_dir(person.directory());
        let process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { process, seen: String::new() }
    }

    /// Waits until something is on the screen.
    fn sees(&mut self, wanted: &str) -> &mut Self {
        let mut bytes = [0; 4096];
        while !self.seen.contains(wanted) {
            let read = self.process.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
            assert!(read > 0, "{wanted:?} was not said: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        self
    }

    fn types(&mut self, text: &str) -> &mut Self {
        self.process.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        self
    }

    /// Waits for its end; its exit code, and all that was on the screen.
    fn ends(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        self.process.stdout.as_mut().unwrap().read_to_end(&mut rest).unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        (self.process.wait().unwrap().code().unwrap_or(-1), self.seen)
    }
}

fn server_without_anything() -> Fake {
    let fake = Fake::start();
    let missing = refusal(404, "project_not_found", "there is no project");
    fake.on(&format!("GET {SERVICE}"), missing);
    fake.on(
        "GET /projects/store/environments/production/services/web",
        refusal(404, "service_not_found", "there is no service"),
    );
    fake.on("POST /projects", status(201, json!({"data": {}, "meta": {}})));
    // Far enough.
    fake.on("POST /projects/store/environments/production/services", refusal(403, "forbidden", "enough"));
    fake
}

#[test]
fn what_is_missing_is_asked_for() {
    let fake = server_without_anything();
    let person = Person::at(&fake);
    person.writes("index.html", "x");
    let mut terminal = Terminal::of(&person, &["deploy"], &[]);
    terminal.sees("Name of the project [shop]: ").types("store\n");
    terminal.sees("`project = \"store\"` in switchback.toml").sees("Name of the service [web]: ").types("\n");
    let (code, seen) = terminal.ends();
    assert_eq!(code, 4, "{seen}");
    assert_eq!(fake.asked_for("POST /projects")[0].json(), json!({"name": "store"}));
    let made = fake.asked_for("POST /projects/store/environments/production/services");
    assert_eq!(made[0].json(), json!({"name": "web"}));
}

#[test]
fn ctrl_c_at_a_question_changes_nothing() {
    let fake = server_without_anything();
    let person = Person::at(&fake);
    person.writes("index.html", "x");
    let mut terminal = Terminal::of(&person, &["deploy"], &[]);
    terminal.sees("Name of the project [shop]: ").types("\x03");
    let (code, seen) = terminal.ends();
    assert_eq!(code, 130, "{seen}");
    assert_eq!(fake.lines(), [format!("GET {SERVICE}")]);
}

#[test]
fn nobody_is_asked_with_yes() {
    let fake = server_without_anything();
    let person = Person::at(&fake);
    person.writes("index.html", "x");
    let (code, seen) = Terminal::of(&person, &["deploy", "-p", "store", "-y"], &[]).ends();
    assert_eq!(code, 4, "{seen}");
    assert!(!seen.contains("Name of"), "{seen}");
}

#[test]
fn a_token_is_not_echoed() {
    let fake = Fake::start();
    fake.on("GET /auth/me", refusal(401, "token_invalid", "the token does not work"));
    let person = Person::signed_out();
    let mut terminal = Terminal::of(&person, &["login", &fake.url], &[]);
    terminal.sees("Token for").types("sbk_secret\n");
    let (code, seen) = terminal.ends();
    assert_eq!(code, 4, "{seen}");
    assert!(!seen.contains("sbk_secret"), "{seen}");
    assert_eq!(fake.asked()[0].header("authorization"), Some("Bearer sbk_secret"));
}

#[test]
fn there_are_colours_on_a_terminal_unless_somebody_does_not_want_them() {
    let fake = Fake::start();
    fake.on("GET /auth/tokens", data(json!([])));
    let person = Person::at(&fake);
    let has_colours = |words: &[&str], environment: &[(&str, &str)]| {
        let (code, seen) = Terminal::of(&person, words, environment).ends();
        assert!(code == 0 && seen.contains("NAME"), "{seen}");
        seen.contains("\x1b[")
    };
    assert!(has_colours(&["tokens", "list"], &[]));
    assert!(!has_colours(&["tokens", "list"], &[("NO_COLOR", "1")]));
    assert!(!has_colours(&["tokens", "list"], &[("TERM", "dumb")]));
    assert!(!has_colours(&["tokens", "list", "--no-color"], &[]));
}
