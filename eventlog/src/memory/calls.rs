//! Calls within one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{FuturesUnordered, StreamExt as _};
use serde_json::Value;

use crate::calls::{Answer, Answers, Calls, Handler, Serving};
use crate::error::StoreError;

type Served = HashMap<u64, (String, String, Handler)>;

/// Calls that reach this process only. Clones are the same.
#[derive(Clone, Default)]
pub struct MemoryCalls {
    /// Kind, name and handler of those who serve, by a number that is never used again.
    served: Arc<Mutex<(u64, Served)>>,
}

impl MemoryCalls {
    /// Nobody serves yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Served)> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the service when its task is dropped.
struct Entry {
    calls: MemoryCalls,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.calls.lock().1.remove(&self.number);
    }
}

#[async_trait]
impl Calls for MemoryCalls {
    async fn serve(&self, kind: &str, name: &str, handler: Handler) -> Result<Serving, StoreError> {
        let number = {
            let (last, served) = &mut *self.lock();
            *last += 1;
            served.insert(*last, (kind.to_owned(), name.to_owned(), handler));
            *last
        };
        let entry = Entry { calls: self.clone(), number };
        let task = tokio::spawn(async move {
            let _entry = entry;
            std::future::pending::<()>().await;
        });
        Ok(Serving(task.abort_handle()))
    }

    async fn ask(&self, kind: &str, request: Value, limit: Duration) -> Result<Answers, StoreError> {
        let handlers: Vec<(String, Handler)> = {
            let guard = self.lock();
            let of_kind = guard.1.values().filter(|(found, ..)| found == kind);
            of_kind.map(|(_, name, handler)| (name.clone(), Arc::clone(handler))).collect()
        };
        let mut found = Answers { present: handlers.len(), answers: Vec::new() };
        let mut asked: FuturesUnordered<_> = handlers
            .into_iter()
            .map(|(from, handler)| {
                let answer = handler(request.clone());
                async move { Answer { from, value: answer.await } }
            })
            .collect();
        let all = async {
            while let Some(answer) = asked.next().await {
                found.answers.push(answer);
            }
        };
        // Whether all answered or the time is over: what counts is who did.
        let _ = tokio::time::timeout(limit, all).await;
        Ok(found)
    }
}
