//! `rollback`: shows what would change, asks, does it, and says how it is undone.

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::args::deployment::Rollback;
use crate::client::failure::{Exit, Failure};
use crate::client::follow::{begun, conclude};
use crate::client::http::read;
use crate::client::model::Plan;
use crate::client::session::{Session, no_answer};
use crate::client::target::Place;
use crate::ui::style::Style;
use crate::ui::{Form, Ui};

/// Runs `rollback`.
///
/// # Errors
/// When there is nothing to go back to, or it fails.
pub(crate) async fn run(session: &Session, rollback: Rollback) -> Result<(), Failure> {
    let place = session.place().await?;
    let path = place.path(&["rollback"]);
    let dry_run = [("dry_run", "true".to_owned())];
    let answer = session.api.post_with(&path, &dry_run, &target(&rollback)).await?;
    let plan: Plan = read(&answer.data["plan"])?;
    if rollback.plan {
        return session.show(&answer.data["plan"], &plan.to, |ui| show(ui, &plan));
    }
    if session.ui.form() == Form::Human {
        show(&session.ui, &plan)?;
    }
    if !session.ui.confirm(&format!("Bring {} back?", plan.to), true).await.map_err(no_answer)? {
        return Err(Failure::new(Exit::Failed, "nothing was changed"));
    }
    // What was shown is what is done, whatever was deployed meanwhile.
    let body = json!({"to": plan.to});
    let answer = session.api.command(Method::POST, &path, Some(&body)).await?;
    let id = begun(&answer.data).unwrap_or_default();
    let extra = Map::from_iter([("from".to_owned(), json!(plan.from)), ("to".to_owned(), json!(plan.to))]);
    conclude(session, &place, id, rollback.following, &extra).await?;
    say_how_to_undo(&session.ui, &place, &plan);
    Ok(())
}

fn target(rollback: &Rollback) -> Value {
    match (rollback.release, rollback.at, rollback.position) {
        (Some(release), _, _) => json!({"to": release.to_string()}),
        (None, Some(at), _) => json!({"at": at.to_query()}),
        (None, None, Some(position)) => json!({"position": position}),
        (None, None, None) => json!({}),
    }
}

fn show(ui: &Ui, plan: &Plan) -> Result<(), Failure> {
    let from = plan.from.as_deref().map(|from| format!("{from} → ")).unwrap_or_default();
    ui.line(&ui.out_style(Style::Heading, &format!("{from}{}, as a new release", plan.to)))?;
    if plan.changes.is_empty() {
        ui.line("  nothing changes")?;
    }
    for change in &plan.changes {
        ui.line(&format!("  {}", ui.foreign(&change.text)))?;
    }
    if !plan.discarded.is_empty() {
        let names = plan.discarded.join(", ");
        let text = format!("  changes that were not deployed yet are lost: {names}");
        ui.line(&ui.out_style(Style::Warning, &text))?;
    }
    Ok(())
}

fn say_how_to_undo(ui: &Ui, place: &Place, plan: &Plan) {
    if let Some(from) = &plan.from {
        ui.note(&format!("To undo: switchback rollback {from} {}", place.options()));
    }
}
