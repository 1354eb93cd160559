//! The event log and the read models.

use std::error::Error;

use projections::store::{Replication, Wall};

use super::{Finding, LIMIT, in_words};
use crate::args::Settings;
use crate::compose::{self, ComposeError};

/// Looks at those that are servers; files are looked at with the data directory.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let (log, read) = tokio::join!(log(settings), read(settings));
    log.into_iter().chain(read).collect()
}

async fn log(settings: &Settings) -> Option<Finding> {
    const WHAT: &str = "event log";
    if settings.log.log.is_empty() {
        return Some(Finding::ok(WHAT, "a file in the data directory"));
    }
    let shown = compose::all_shown(&settings.log.log);
    let looked = tokio::time::timeout(LIMIT, compose::look_at_log(settings)).await;
    Some(match looked {
        Ok(Ok(found)) => Finding::ok(WHAT, format!("{shown}: {found}")),
        Ok(Err(error @ ComposeError::Lossy { .. })) => {
            let why = error.source().map(in_words).unwrap_or_default();
            let advice = "set `sync_interval: always` under `jetstream` in its configuration and name its \
                          monitoring address with --log-monitor; or keep every event on three servers with \
                          --log-replicas 3; or accept the loss with --accept-lax-log";
            Finding::failed(WHAT, format!("{shown}: {why}"), advice)
        }
        Ok(Err(error)) => {
            let why = error.source().map_or_else(|| error.to_string(), in_words);
            let advice = "is the server running, with JetStream (`nats-server -js`), and may this machine \
                          reach it?";
            Finding::failed(WHAT, format!("{shown}: {why}"), advice)
        }
        Err(_) => {
            let found = format!("{shown}: no answer within {} s", LIMIT.as_secs());
            Finding::failed(WHAT, found, "is the server running, and may this machine reach it?")
        }
    })
}

async fn read(settings: &Settings) -> Vec<Finding> {
    const WHAT: &str = "read models";
    let Some(url) = &settings.read.read else {
        return vec![Finding::ok(WHAT, "a file in the data directory")];
    };
    let shown = compose::shown(url);
    let reads = match compose::read_models(settings) {
        Ok(reads) => reads,
        Err(error) => {
            return vec![Finding::failed(WHAT, in_words(&error), "mend the address given with --read")];
        }
    };
    let asked = tokio::time::timeout(LIMIT, async {
        reads.ping().await?;
        reads.wall().await
    });
    let mut findings = vec![match asked.await {
        Ok(Ok(Wall::Stands | Wall::Conditions)) => {
            Finding::ok(WHAT, format!("{shown}: row-level security keeps organisations apart"))
        }
        Ok(Ok(Wall::Open { login })) => Finding::warning(
            WHAT,
            format!("{shown}: row-level security does not hold `{login}` back; only the queries do"),
            format!(
                "let a superuser run once: CREATE ROLE switchback_reader NOLOGIN; GRANT switchback_reader TO \
                 {login};"
            ),
        ),
        Ok(Err(error)) => Finding::failed(
            WHAT,
            format!("{shown}: {}", in_words(&error)),
            "is the server running, does the database exist (createdb), and may this user connect to it \
             (pg_hba.conf)?",
        ),
        Err(_) => {
            let found = format!("{shown}: no answer within {} s", LIMIT.as_secs());
            Finding::failed(WHAT, found, "is the server running, and may this machine reach it?")
        }
    }];
    if let Some(Replication::Away) = reads.replica() {
        findings.push(Finding::warning(
            "read replica",
            "it does not answer, or is no replica of --read; queries go to the primary",
            "look at the server that --read-replica names; the platform goes back to it by itself",
        ));
    }
    reads.close().await;
    findings
}
