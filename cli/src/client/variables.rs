//! `variables`: list, set, unset, import, diff. Values are never shown unless they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use domain::name::VariableName;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::args::variables::{Deploying, Variables};
use crate::client::dotenv;
use crate::client::failure::{Exit, Failure};
use crate::client::follow::{begun, conclude};
use crate::client::model::Variable;
use crate::client::session::Session;
use crate::ui::ask::read_standard_input;
use crate::ui::style::Style;
use crate::ui::table::{Cell, Table};

/// What stands for a value.
const MASK: &str = "********";
/// The most that a file of variables may have: a hundred of a thousand characters, with room.
const FILE_BYTES_MAX: usize = 1_000_000;

/// Runs `variables`.
///
/// # Errors
/// When a name or value is not allowed, or the server refuses.
pub(crate) async fn run(session: &Session, variables: Variables) -> Result<(), Failure> {
    match variables {
        Variables::List { reveal } => list(session, reveal).await,
        Variables::Set { assignments, stdin, deploying } => {
            let set = if stdin { from_stdin(&assignments)? } else { parse(&assignments)? };
            change(session, set, BTreeSet::new(), deploying).await
        }
        Variables::Unset { names, deploying } => {
            change(session, BTreeMap::new(), names.into_iter().collect(), deploying).await
        }
        Variables::Import { file, deploying } => {
            change(session, import(&file)?, BTreeSet::new(), deploying).await
        }
        Variables::Diff { other, reveal } => diff(session, &other, reveal).await,
    }
}

type Values = BTreeMap<VariableName, String>;

fn parse(assignments: &[String]) -> Result<Values, Failure> {
    let mut set = Values::new();
    for assignment in assignments {
        // What follows may be a secret: no message repeats it.
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(Failure::usage("a variable is set by NAME=VALUE")
                .try_next("NAME alone takes its value from standard input with --stdin"));
        };
        if set.insert(self::name(name)?, value.to_owned()).is_some() {
            return Err(Failure::usage(format!("{name} is set twice")));
        }
    }
    Ok(set)
}

fn name(text: &str) -> Result<VariableName, Failure> {
    text.parse().map_err(|error: domain::name::InvalidName| Failure::usage(error.to_string()))
}

fn from_stdin(assignments: &[String]) -> Result<Values, Failure> {
    let [name] = assignments else {
        return Err(Failure::usage("--stdin takes the value of one variable"));
    };
    if name.contains('=') {
        return Err(Failure::usage("--stdin takes the value of NAME from standard input: leave =VALUE out"));
    }
    let name = self::name(name)?;
    let value = read_standard_input(FILE_BYTES_MAX).map_err(|error| unreadable("standard input", &error))?;
    // What `echo` adds is not part of it.
    let value =
        value.strip_suffix('\n').map_or(value.as_str(), |value| value.strip_suffix('\r').unwrap_or(value));
    Ok(Values::from([(name, value.to_owned())]))
}

fn unreadable(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("read {what}")).because(error.to_string())
}

fn import(file: &Path) -> Result<Values, Failure> {
    let shown = file.display().to_string();
    let text = if file == Path::new("-") {
        read_standard_input(FILE_BYTES_MAX).map_err(|error| unreadable("standard input", &error))?
    } else {
        let mut text = String::new();
        let read = File::open(file)
            .and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_string(&mut text))
            .map_err(|error| unreadable(&shown, &error))?;
        if read > FILE_BYTES_MAX {
            return Err(Failure::usage(format!("{shown} has more than {FILE_BYTES_MAX} bytes")));
        }
        text
    };
    let set = dotenv::parse(&text).map_err(|error| Failure::usage(format!("{shown}, {error}")))?;
    if set.is_empty() { Err(Failure::usage(format!("there are no variables in {shown}"))) } else { Ok(set) }
}

async fn change(
    session: &Session,
    set: Values,
    unset: BTreeSet<VariableName>,
    deploying: Deploying,
) -> Result<(), Failure> {
    let place = session.place().await?;
    let names: Vec<String> = set.keys().chain(&unset).map(ToString::to_string).collect();
    let body = json!({"set": set, "unset": unset, "deploy": !deploying.no_deploy});
    let answer = session.api.command(Method::PATCH, &place.path(&["variables"]), Some(&body)).await?;
    let done = if unset.is_empty() { "Set" } else { "Removed" };
    session.ui.note(&format!("{done} {}.", names.join(", ")));
    match begun(&answer.data) {
        Some(id) => conclude(session, &place, id, deploying.following, &Map::new()).await,
        None => session.show(&answer.data, "", |ui| {
            ui.note(if deploying.no_deploy {
                "The next deployment takes it up."
            } else {
                "Nothing has to be deployed."
            });
            Ok(())
        }),
    }
}

async fn list(session: &Session, reveal: bool) -> Result<(), Failure> {
    let place = session.place().await?;
    let query = [("reveal", reveal.to_string())];
    let answer = session.api.get(&place.path(&["variables"]), &query).await?;
    let variables: Vec<Variable> = answer.read()?;
    let names: Vec<&str> = variables.iter().map(|variable| variable.name.as_str()).collect();
    session.show(&answer.data, &names.join("\n"), |ui| {
        let mut table = Table::new(["NAME", "DEPLOYED", "VALUE"]);
        for variable in &variables {
            let value = variable.value.as_deref().map(|value| ui.foreign(value));
            table.row([
                variable.name.as_str().into(),
                if variable.deployed { "yes".into() } else { Cell::new("not yet", Style::Warning) },
                value.unwrap_or_else(|| MASK.to_owned()).into(),
            ]);
        }
        Ok(ui.table(&table)?)
    })
}

/// A variable in this environment and in the other.
type Pair<'a> = (Option<&'a Variable>, Option<&'a Variable>);

async fn diff(session: &Session, other: &str, reveal: bool) -> Result<(), Failure> {
    let here = session.place().await?;
    let mut there = here.clone();
    other.clone_into(&mut there.environment);
    let query = [("reveal", reveal.to_string())];
    let mut both: Vec<Vec<Variable>> = Vec::new();
    for place in [&here, &there] {
        both.push(session.api.get(&place.path(&["variables"]), &query).await?.read()?);
    }
    let mut pairs: BTreeMap<&str, Pair<'_>> = BTreeMap::new();
    for variable in &both[0] {
        pairs.entry(&variable.name).or_default().0 = Some(variable);
    }
    for variable in &both[1] {
        pairs.entry(&variable.name).or_default().1 = Some(variable);
    }
    pairs.retain(|_, pair| pair.0.is_none() || pair.1.is_none() || values(*pair).0 != values(*pair).1);
    let side = |variable: Option<&Variable>| {
        variable.map(|variable| variable.value.clone().map_or(json!(true), Value::String))
    };
    let records: Vec<Value> = pairs
        .iter()
        .map(|(name, pair)| json!({"name": name, &here.environment: side(pair.0), other: side(pair.1)}))
        .collect();
    let names: Vec<&str> = pairs.keys().copied().collect();
    session.show(&Value::Array(records), &names.join("\n"), |ui| {
        let mut table = Table::new(["NAME", &here.environment, other]);
        for (name, pair) in &pairs {
            let cell = |variable: Option<&Variable>| match variable {
                Some(Variable { value: Some(value), .. }) => Cell::from(ui.foreign(value)),
                Some(Variable { value: None, .. }) => Cell::from("set"),
                None => Cell::new("-", Style::Faint),
            };
            table.row([Cell::from(*name), cell(pair.0), cell(pair.1)]);
        }
        if !pairs.is_empty() {
            ui.table(&table)?;
        }
        ui.note(match (reveal, pairs.is_empty()) {
            (false, true) => "The same names are set in both. --reveal compares the values too.",
            (false, false) => "Names only were compared. --reveal compares the values too.",
            (true, true) => "Both are the same.",
            (true, false) => return Ok(()),
        });
        Ok(())
    })
}

fn values<'a>(pair: Pair<'a>) -> (Option<&'a str>, Option<&'a str>) {
    let value = |variable: Option<&'a Variable>| variable.and_then(|variable| variable.value.as_deref());
    (value(pair.0), value(pair.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_cut_at_its_first_equals_sign() {
        let set = parse(&["A=b=c".to_owned(), "E=".to_owned()]).expect("valid");
        assert_eq!(set[&"A".parse().expect("valid")], "b=c");
        assert_eq!(set[&"E".parse().expect("valid")], "");
    }

    #[test]
    fn no_message_repeats_a_value() {
        for assignments in [&["secret"][..], &["a-b=secret"], &["A=secret", "A=secret"]] {
            let assignments: Vec<String> = assignments.iter().map(|text| (*text).to_owned()).collect();
            let failure = parse(&assignments).expect_err("not valid");
            assert!(!format!("{failure:?}").contains("secret"), "{failure:?}");
        }
    }
}
