//! The Docker Engine and the registry.

use super::{Finding, LIMIT, in_words};
use crate::args::Settings;
use crate::compose;

/// Looks at what builds, keeps and runs, where that is no process of this machine.
pub(super) async fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![];
    for (what, url) in [("runtime", &settings.work.runtime), ("builder", &settings.work.builder)] {
        let Some(url) = url.as_ref().filter(|url| compose::is_docker(url)) else { continue };
        let same = what == "builder" && settings.work.runtime.as_ref() == Some(url);
        if !same {
            findings.extend(engine(what, url).await);
        }
    }
    if settings.work.registry.is_some() {
        findings.push(registry(settings).await);
    }
    findings
}

async fn engine(what: &'static str, url: &url::Url) -> Vec<Finding> {
    let advice = "is the Docker Engine running, and may this user use its socket (group docker)?";
    let asked = match tokio::time::timeout(LIMIT, compose::look_at_engine(url)).await {
        Ok(asked) => asked,
        Err(_) => {
            return vec![Finding::failed(
                what,
                format!("{url}: no answer within {} s", LIMIT.as_secs()),
                advice,
            )];
        }
    };
    match asked {
        Ok((found, warnings)) => {
            let known = warnings.into_iter().map(|warning| {
                let advice = "update it; until then, run only what you trust on it";
                Finding::warning(what, warning, advice)
            });
            std::iter::once(Finding::ok(what, found)).chain(known).collect()
        }
        Err(error) => vec![Finding::failed(what, in_words(&error), advice)],
    }
}

async fn registry(settings: &Settings) -> Finding {
    const WHAT: &str = "registry";
    let advice = "does --registry name HOST/PREFIX, and are user and token in --registry-credentials those \
                  of an account that may push there?";
    match tokio::time::timeout(LIMIT, compose::look_at_registry(settings)).await {
        Ok(Ok(found)) => Finding::ok(WHAT, found),
        Ok(Err(error)) => Finding::failed(WHAT, in_words(&error), advice),
        Err(_) => Finding::failed(WHAT, format!("no answer within {} s", LIMIT.as_secs()), advice),
    }
}
