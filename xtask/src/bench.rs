//! `bench`: the figures of docs/benchmarks.md, each beside something that does the same work.
//!
//! What measures are examples of the crates, built for release; they print lines that begin with `FIGURE` and
//! go on as JSON, and people's lines besides. The table is only written when everything ran.

mod edge;
mod figure;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

use crate::bench::figure::{Figure, table};
use crate::engines::{Engine, Purpose, Running, tools};
use crate::failure::{Doing, Failure};
use crate::{program, workspace};

const DOCUMENT: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";
const MARK: &str = "FIGURE ";
const PARTS: [&str; 7] = ["logs", "commands", "rebuild", "sagas", "edge", "deployments", "containers"];

/// What is measured with.
struct Bench {
    running: Running,
    /// Where the release build is.
    built: PathBuf,
    /// On the disk of the checkout; removed afterwards.
    directory: PathBuf,
}

/// Runs the task.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    if let Some(unknown) = arguments.iter().find(|part| !PARTS.contains(&part.as_str())) {
        return Err(Failure::usage(format!("bench has no part `{unknown}`, but {}", PARTS.join(", "))));
    }
    tools()?;
    let release = ["build", "--release", "--quiet"];
    program::run(program::cargo(release).args(["--workspace", "--examples"]))?;
    // Last, since it is the binary as users have it: without what only tests and examples need.
    program::run(program::cargo(release).args(["--package", "switchback"]))?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace::root().join("target"), PathBuf::from);
    let directory = target.join(format!("bench-{}", std::process::id()));
    fs::create_dir_all(&directory).doing(|| format!("make {}", directory.display()))?;
    let running = Running::start(&Engine::ALL, Purpose::Test)?;
    let bench = Bench { running, built: target.join("release"), directory };
    let mut figures = vec![];
    for part in PARTS.into_iter().filter(|part| arguments.is_empty() || arguments.iter().any(|a| a == part)) {
        println!("bench: {part}");
        figures.extend(bench.part(part)?);
    }
    println!("\n{}", table(&figures));
    if arguments.is_empty() { write(&figures) } else { Ok(()) }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What is left of it is under `target`, and said by the next listing at worst.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Bench {
    fn part(&self, part: &str) -> Result<Vec<Figure>, Failure> {
        let (synced, lax) = (self.server("NATS"), self.server("NATS_LAX"));
        let dir = self.directory.display().to_string();
        let platform = self.built.join("switchback").display().to_string();
        let nats = |name: &'static str, (url, monitor): &(String, String)| {
            [name.to_owned(), url.clone(), monitor.clone()]
        };
        let mut runs: Vec<(&str, Vec<String>)> = vec![];
        let mut add = |example, first: &[&str], rest: &[String]| {
            let first = first.iter().map(|&word| word.to_owned());
            runs.push((example, first.chain(rest.iter().cloned()).collect()));
        };
        match part {
            "logs" => {
                add("append_bench", &["sqlite", &dir], &[]);
                add("append_bench", &["nats"], &nats("synced", &synced));
                add("append_bench", &["nats"], &nats("as out of the box", &lax));
                add("append_bench", &["envelope"], &[]);
            }
            "commands" => {
                add("platform_bench", &[&platform, "commands", "sqlite", &dir], &[]);
                let on = [&*platform, "commands", "jetstream", &dir];
                add("platform_bench", &on, &nats("synced", &synced));
                add("platform_bench", &on, &nats("as out of the box", &lax));
            }
            "rebuild" => add("rebuild_bench", &[], &[]),
            "sagas" => add("sagas_bench", &[&dir], &[]),
            "containers" => add("platform_bench", &[&platform, "containers", &dir], &[]),
            "deployments" => add("platform_bench", &[&platform, "deployments", &dir], &[]),
            _ => return edge::measure(&self.example("edge"), &self.directory),
        }
        let runs = runs.into_iter().map(|(example, arguments)| self.figures(example, &arguments));
        Ok(runs.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    fn example(&self, name: &str) -> PathBuf {
        self.built.join("examples").join(name)
    }

    /// Address and monitor of a server.
    fn server(&self, name: &str) -> (String, String) {
        let value = |name: String| {
            let found = self.running.variables().iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        (value(format!("SWITCHBACK_TEST_{name}")), value(format!("SWITCHBACK_TEST_{name}_MONITOR")))
    }

    /// Runs an example and takes the figures out of what it prints.
    fn figures(&self, example: &str, arguments: &[String]) -> Result<Vec<Figure>, Failure> {
        let mut command = Command::new(self.example(example));
        command.args(arguments).envs(self.running.variables().iter().cloned());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .doing(|| format!("start {}", program::describe(&command)))?;
        let output = child.stdout.take().ok_or_else(|| Failure::new("the example has no output"))?;
        let mut figures = vec![];
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            match line.strip_prefix(MARK) {
                Some(text) => {
                    let figure = Figure::parse(text)?;
                    println!("  {figure}");
                    figures.push(figure);
                }
                None => println!("  {line}"),
            }
        }
        let status = child.wait().doing(|| format!("wait for {example}"))?;
        if !status.success() {
            return Err(Failure::new(format!("{} ended with {status}", program::describe(&command))));
        }
        Ok(figures)
    }
}

/// Puts the table into the document, between its marks.
fn write(figures: &[Figure]) -> Result<(), Failure> {
    let path = workspace::root().join(DOCUMENT);
    let text = fs::read_to_string(&path).doing(|| format!("read {DOCUMENT}"))?;
    let text = replaced(&text, &format!("{}\n{}", machine()?, table(figures)))
        .ok_or_else(|| Failure::new(format!("{DOCUMENT} lacks the lines `{BEGIN}` and `{END}`")))?;
    fs::write(&path, text).doing(|| format!("write {DOCUMENT}"))?;
    println!("bench: written to {DOCUMENT}");
    Ok(())
}

fn replaced(text: &str, new: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{new}{END}{after}"))
}

/// On what, when and of what it was measured.
fn machine() -> Result<String, Failure> {
    let text = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        program::output(command.args(arguments).current_dir(workspace::root()))
            .map(|text| text.trim().to_owned())
    };
    let processors = std::thread::available_parallelism().map_or(0, Into::into);
    let known = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = known.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    Ok(format!(
        "Measured on {}, at revision {}: {processors} processors ({}), Linux {}.\n",
        text("date", &["-u", "+%F"])?,
        text("git", &["rev-parse", "--short", "HEAD"])?,
        model.trim_start_matches([' ', '\t', ':']),
        text("uname", &["-r"])?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_one_before() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(replaced(&text, "new\n").unwrap(), format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(replaced("no marks", "new"), None);
    }

    #[test]
    fn the_document_has_its_marks() {
        let text = fs::read_to_string(workspace::root().join(DOCUMENT)).unwrap();
        assert!(replaced(&text, "new").is_some());
    }
}
