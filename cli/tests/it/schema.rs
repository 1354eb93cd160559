//! A schema in `PostgreSQL` of a test's own.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// A schema of a test's own; removed when it is dropped.
pub(crate) struct Schema {
    server: String,
    name: String,
}

impl Schema {
    pub(crate) fn create() -> Self {
        let server = std::env::var("SWITCHBACK_TEST_POSTGRES")
            .expect("SWITCHBACK_TEST_POSTGRES is not set: `cargo xtask test` starts the server and sets it");
        let schema = Self { server, name: format!("test_{}", uuid::Uuid::now_v7().simple()) };
        schema.run(format!("CREATE SCHEMA {}", schema.name));
        schema
    }

    pub(crate) fn url(&self) -> String {
        format!("{}?options[search_path]={}", self.server, self.name)
    }

    fn run(&self, statement: String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = PgConnection::connect(&self.server).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        });
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.run(format!("DROP SCHEMA {} CASCADE", self.name));
    }
}
