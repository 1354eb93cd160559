//! The dashboard and the alerts use figures that there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Every metric of the guide, with what kind it is.
fn documented() -> BTreeMap<String, String> {
    let guide = include_str!("../../../../docs/guide/operations.md");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned())).collect()
}

/// The metrics that an expression asks for, by the names of their tables: without `_bucket` and the like.
fn asked(expression: &str, known: &BTreeMap<String, String>) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("switchback_") || word.starts_with("process_"));
    ours.map(|word| {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        match of_histogram {
            Some(name) if known.get(name).is_some_and(|kind| kind == "histogram") => name.to_owned(),
            _ => word.to_owned(),
        }
    })
    .collect()
}

fn check(place: &str, expression: &str) {
    let known = documented();
    for name in asked(expression, &known) {
        assert!(
            known.contains_key(&name),
            "{place} asks for {name}, which is not in docs/guide/operations.md"
        );
        let is_counter = known[&name] == "counter";
        let is_rated = ["rate(", "increase("].iter().any(|function| expression.contains(function));
        assert!(
            !is_counter || is_rated,
            "{place}: a counter is looked at by how fast it grows: {expression}"
        );
    }
}

#[test]
fn every_panel_of_the_dashboard_asks_for_figures_that_there_are() {
    let dashboard: Value = serde_json::from_str(&super::read("grafana/switchback.json")).unwrap();
    let (mut ids, mut asked_for) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: another panel has its id");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().unwrap();
            check(title, expression);
            asked_for.extend(asked(expression, &documented()));
            assert_eq!(target["datasource"]["uid"], "${DS_PROMETHEUS}", "{title}");
        }
    }
    let not_shown: Vec<String> =
        documented().into_keys().filter(|name| name.contains('_') && !asked_for.contains(name)).collect();
    assert!(not_shown.is_empty(), "no panel shows {not_shown:?}");
}

#[test]
fn every_alert_asks_for_figures_that_there_are_says_what_to_do_and_is_tested() {
    let (rules, tests) =
        (super::yaml("alerts/switchback.rules.yaml"), super::read("alerts/switchback.rules.test.yaml"));
    let mut count = 0;
    for rule in rules["groups"][0]["rules"].as_vec().unwrap() {
        let name = rule["alert"].as_str().unwrap();
        check(name, rule["expr"].as_str().unwrap());
        assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        assert!(rule["annotations"]["summary"].as_str().is_some(), "{name}");
        assert!(rule["annotations"]["runbook"].as_str().is_some_and(|text| text.len() > 80), "{name}");
        let fires = format!(r#"exp_samples: [{{labels: 'ALERTS{{alertname="{name}""#);
        assert!(tests.contains(&fires), "{name} is not tested");
        count += 1;
    }
    assert!(count >= 10, "{count} alerts");
}
