//! Writes `schemas/`: the JSON Schema of every event type, and a sample of it. With `--check`, says what is
//! not as it must be. `cargo xtask schemas [--check]` calls it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task talks to the terminal")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use serde_json::Value;
use switchback_domain::testing::catalogue::{Files, Finding, SAMPLES, SCHEMAS, compare, files};

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words[..] {
        [folder] if !folder.starts_with('-') => write(Path::new(folder)),
        [folder, "--check"] | ["--check", folder] => check(Path::new(folder)),
        _ => Err("usage: schemas FOLDER [--check]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("schemas: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn check(folder: &Path) -> Result<(), Failure> {
    refuse(folder, &compare(&stored(folder)?))
}

/// Writes what is missing or outdated. What would break a reader or change a sample is left as it is.
fn write(folder: &Path) -> Result<(), Failure> {
    let files = files();
    let mut findings = compare(&stored(folder)?);
    let to_write = |finding: &Finding| matches!(finding, Finding::Missing | Finding::Outdated);
    for path in findings.keys().filter(|path| to_write(&findings[*path])) {
        let file = folder.join(path);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&file, format!("{:#}\n", files[path]))?;
        println!("schemas: wrote {}", file.display());
    }
    findings.retain(|_, finding| !to_write(finding));
    refuse(folder, &findings)
}

fn refuse(folder: &Path, findings: &BTreeMap<String, Finding>) -> Result<(), Failure> {
    for (path, finding) in findings {
        eprintln!("schemas: {} {}", folder.join(path).display(), finding.advice());
    }
    match findings.len() {
        0 => Ok(()),
        1 => Err("one file is not as it must be".into()),
        many => Err(format!("{many} files are not as they must be").into()),
    }
}

fn stored(folder: &Path) -> Result<Files, Failure> {
    let mut files = Files::new();
    for below in [SCHEMAS, SAMPLES] {
        let entries = match fs::read_dir(folder.join(below)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("list {}: {error}", folder.join(below).display()).into()),
        };
        for entry in entries {
            let entry = entry?;
            let text = fs::read_to_string(entry.path())?;
            // What is no JSON is no event's file either, or differs from it.
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            files.insert(format!("{below}{}", entry.file_name().to_string_lossy()), value);
        }
    }
    Ok(files)
}
