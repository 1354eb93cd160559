//! The log store in files.

use std::sync::Arc;

use async_trait::async_trait;
use eventlog::conformance;
use eventlog::conformance::logs::LIMITS;
use eventlog::files::FileLogs;
use eventlog::logs::SharedLogs;
use tempfile::TempDir;

struct Logs {
    dir: TempDir,
    logs: Option<FileLogs>,
}

impl Logs {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let logs = Some(FileLogs::open(dir.path(), LIMITS).unwrap());
        Self { dir, logs }
    }
}

#[async_trait]
impl conformance::logs::Fixture for Logs {
    fn logs(&self) -> SharedLogs {
        Arc::new(self.logs.clone().unwrap())
    }

    async fn reopen(&mut self) {
        self.logs = None;
        self.logs = Some(FileLogs::open(self.dir.path(), LIMITS).unwrap());
    }
}

mod logs {
    eventlog::logs_suite!(super::Logs::new());
}
