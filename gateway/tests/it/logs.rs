//! Logs: read by number and by tail, followed to their end.

use axum::http::Method;
use chrono::Utc;
use domain::id::DeploymentId;
use eventlog::logs::{Channel, LogName, NewLine};
use http_body_util::BodyExt;
use serde_json::json;

use crate::house::House;

fn line(text: &str) -> NewLine {
    NewLine { at: Utc::now(), channel: Channel::Out, origin: "build".into(), text: text.into() }
}

async fn deployment(house: &House) -> DeploymentId {
    let path = format!("{}/deployments", house.web().await);
    let body = json!({ "source": { "kind": "repository", "url": "https://example.com/a.git" } });
    house.post(&path, body).await.data()["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn lines_are_read_by_number_and_by_tail() {
    let house = House::new().await;
    let id = deployment(&house).await;
    house.logs.append(LogName::Build(id), ["a", "b", "c"].map(line).to_vec()).await.unwrap();
    let texts = |answer: &crate::house::Answered| -> Vec<String> {
        let lines = answer.data().as_array().unwrap();
        lines.iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(texts(&house.get(&format!("/deployments/{id}/logs")).await), ["a", "b", "c"]);
    assert_eq!(texts(&house.get(&format!("/deployments/{id}/logs?after=2")).await), ["c"]);
    assert_eq!(texts(&house.get(&format!("/deployments/{id}/logs?tail=2")).await), ["b", "c"]);
    assert_eq!(house.get(&format!("/deployments/{id}/logs?limit=0")).await.code(), "parameter_invalid");
}

#[tokio::test]
async fn following_ends_after_the_deployment_with_every_line_and_its_last_status() {
    let house = House::new().await;
    let id = deployment(&house).await;
    house.logs.append(LogName::Build(id), vec![line("first")]).await.unwrap();
    let request = house.request(Method::GET, &format!("/deployments/{id}/logs?follow=true"), None).await;
    let body = house.raw(request).await.into_body();
    house.logs.append(LogName::Build(id), vec![line("second")]).await.unwrap();
    house.post(&format!("/deployments/{id}/cancel"), json!({})).await.data();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let at = |wanted: &str| text.find(wanted).unwrap_or_else(|| panic!("{wanted} is missing in {text}"));
    assert!(at("first") < at("second"), "{text}");
    assert!(at("second") < at("CANCELLED"), "{text}");
    assert!(text.trim_end().lines().last().unwrap().contains("CANCELLED"), "{text}");
}
