//! `releases` and `release`: what ran, and what changed with it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use crate::args::reading::Release as Wanted;
use crate::client::failure::Failure;
use crate::client::http::read;
use crate::client::model::{Release, name_of};
use crate::client::session::Session;
use crate::ui::style::Style;
use crate::ui::table::{Cell, Table};
use crate::ui::time;

/// How many releases are listed at most.
const RELEASES_MAX: usize = 1_000;

/// Lists releases.
///
/// # Errors
/// When the server refuses.
pub(crate) async fn list(session: &Session) -> Result<(), Failure> {
    let place = session.place().await?;
    let data = Value::Array(session.api.list(&place.path(&["releases"]), &[], RELEASES_MAX).await?);
    let releases: Vec<Release> = read(&data)?;
    let numbers: Vec<&str> = releases.iter().map(|release| release.number.as_str()).collect();
    session.show(&data, &numbers.join("\n"), |ui| {
        let now = Utc::now();
        let mut table = Table::new(["RELEASE", "STATUS", "WHEN", "WHO", "REVISION", "WHAT"]);
        for release in &releases {
            table.row([
                release.number.as_str().into(),
                Cell::status(&release.status),
                time::ago(release.created_at, now).into(),
                ui.foreign(&name_of(&release.created_by)).into(),
                release.revision.as_ref().and_then(|it| it.id.get(..7)).unwrap_or_default().into(),
                ui.foreign(&what(release)).into(),
            ]);
        }
        Ok(ui.table(&table)?)
    })
}

/// What a release is about, in a few words.
fn what(release: &Release) -> String {
    if let Some(of) = &release.rollback_of {
        return format!("brings {of} back");
    }
    let subject = release.revision.as_ref().map(|it| it.subject.clone()).filter(|it| !it.is_empty());
    match release.changes.as_slice() {
        [] => subject.unwrap_or_else(|| release.trigger.clone().unwrap_or_default()),
        [only] => only.text.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.text, rest.len()),
    }
}

/// Shows a release.
///
/// # Errors
/// When there is no such release, or the server refuses.
pub(crate) async fn show(session: &Session, wanted: &Wanted) -> Result<(), Failure> {
    let place = session.place().await?;
    let path = place.path(&["releases"]);
    let answer = session.api.get(&[&path[..], &[&wanted.number.to_string()]].concat(), &[]).await?;
    let release: Release = answer.read()?;
    session.show(&answer.data, &release.number, |ui| {
        let exact = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let listed = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
        let mut table = Table::of_fields();
        table.field("release", Some(release.number.as_str()));
        table.field("status", Some(Cell::status(&release.status)));
        table.field("revision", release.revision.as_ref().map(|it| ui.foreign(&it.short())));
        table.field("image", release.image.as_deref());
        table.field("deployment", release.deployment.as_deref());
        table.field("brings back", release.rollback_of.as_deref());
        table.field("made by", Some(ui.foreign(&name_of(&release.created_by))).filter(|who| !who.is_empty()));
        table.field("made", Some(exact(release.created_at)));
        table.field("live since", release.activated_at.map(exact));
        table.field("replicas", release.replicas.map(|replicas| replicas.to_string()));
        table.field("hostnames", listed(&release.hostnames));
        table.field("variables", listed(&release.variables));
        ui.table(&table)?;
        if !release.changes.is_empty() {
            ui.line(&ui.out_style(Style::Heading, "What changed"))?;
        }
        for change in &release.changes {
            ui.line(&format!("  {}", ui.foreign(&change.text)))?;
        }
        Ok(())
    })
}
