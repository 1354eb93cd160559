//! A Procfile: `web: …` starts the service, `release: …` runs before traffic moves.

use domain::command_line::CommandLine;
use domain::plan::Language;

use crate::builder::BuildError;
use crate::builder::detect::refused;
use crate::builder::tree::Tree;

/// The file, as far as it is understood. One that is not there says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Procfile {
    pub(super) web: Option<Line>,
    pub(super) release: Option<Line>,
    /// Process types that are not run.
    pub(super) others: Vec<String>,
}

/// A command and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    number: usize,
    text: String,
}

impl Line {
    pub(super) fn command(&self) -> Result<CommandLine, BuildError> {
        self.text
            .parse()
            .map_err(|error| refused("manifest_invalid", format!("Procfile, line {}: {error}", self.number)))
    }
}

impl Procfile {
    pub(super) fn read(tree: &Tree) -> Self {
        tree.text("Procfile").map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let mut procfile = Self::default();
        for (index, line) in text.lines().enumerate() {
            let Some((name, command)) = line.split_once(':') else { continue };
            let name = name.trim();
            let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(named) || command.trim().is_empty() {
                continue;
            }
            let line = Line { number: index + 1, text: command.trim().to_owned() };
            match name {
                "web" => procfile.web = Some(line),
                "release" => procfile.release = Some(line),
                other => procfile.others.push(other.to_owned()),
            }
        }
        procfile
    }

    /// The language that the program of `web` belongs to, when it is a known one.
    pub(super) fn language(&self) -> Option<Language> {
        let command = self.web.as_ref()?.command().ok()?;
        let invocations = command.invocations(&std::collections::BTreeMap::new());
        let program = invocations.last()?.arguments.first()?.rsplit('/').next()?;
        match program {
            "node" | "npm" | "npx" | "yarn" | "pnpm" | "next" | "nuxt" | "ts-node" | "tsx" => {
                Some(Language::Node)
            }
            "python" | "python3" | "gunicorn" | "uvicorn" | "hypercorn" | "daphne" | "flask" | "fastapi"
            | "waitress-serve" | "streamlit" => Some(Language::Python),
            "java" | "mvn" | "mvnw" => Some(Language::Java),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_and_release_are_taken_and_the_rest_is_named() {
        let procfile = Procfile::parse(
            "# a comment: nothing\nweb: gunicorn app:app --bind 0.0.0.0:$PORT\r\nrelease:  ./migrate \n\
             worker: x\n\nclock:\n",
        );
        let web = procfile.web.as_ref().expect("there");
        assert_eq!((web.number, web.text.as_str()), (2, "gunicorn app:app --bind 0.0.0.0:$PORT"));
        assert_eq!(procfile.release.as_ref().expect("there").text, "./migrate");
        assert_eq!(procfile.others, ["worker"]);
        assert_eq!(procfile.language(), Some(Language::Python));
    }

    #[test]
    fn an_unsound_command_is_an_error_with_its_line() {
        let procfile = Procfile::parse("\nweb: java -jar target/*.jar");
        let error = procfile.web.expect("there").command().expect_err("a glob");
        assert_eq!(error.code, "manifest_invalid");
        assert!(error.message.starts_with("Procfile, line 2: ") && error.message.contains('*'), "{error}");
    }

    #[test]
    fn the_program_tells_the_language() {
        for (line, language) in [
            ("web: npm start", Some(Language::Node)),
            ("web: cd x && exec ./node_modules/.bin/next start", Some(Language::Node)),
            ("web: NODE_ENV=production node server.js", Some(Language::Node)),
            ("web: .venv/bin/python app.py", Some(Language::Python)),
            ("web: java -jar target/x.jar", Some(Language::Java)),
            ("web: bin/server", None),
            ("web: a | b", None),
            ("worker: node x", None),
        ] {
            assert_eq!(Procfile::parse(line).language(), language, "{line}");
        }
    }
}
