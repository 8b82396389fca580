//! A database of its own for each test, which goes with the test.

use std::{env, thread};

use tempfile::TempDir;
use uuid::Uuid;

use super::fixture::Engine;

/// Keeps a database until it is dropped: what hundreds of tests leave fills a disk.
pub(super) enum Keeper {
    Folder(#[expect(dead_code, reason = "removed when it is dropped")] TempDir),
    Postgres {
        server: String,
        name: String,
    },
    /// For the database of another process.
    Elsewhere,
}

impl Keeper {
    /// A new database, and its URL.
    pub(super) async fn create(engine: Engine) -> (String, Self) {
        match engine {
            Engine::Sqlite => {
                let folder = TempDir::new().expect("a temporary folder");
                let file = folder.path().join("viridian.db");
                (format!("sqlite:{}", file.display()), Self::Folder(folder))
            }
            Engine::Postgres => {
                let server = env::var("VIRIDIAN_TEST_POSTGRES").expect(
                    "VIRIDIAN_TEST_POSTGRES names no server: run the tests with scripts/test",
                );
                let name = format!("store_{}", Uuid::now_v7().simple());
                execute(&server, &format!("CREATE DATABASE {name}")).await;
                let mut url = url::Url::parse(&server).expect("a URL");
                url.set_path(&name);
                (url.to_string(), Self::Postgres { server, name })
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Self::Postgres { server, name } = self else {
            return;
        };
        let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        let server = server.clone();
        // Not waited for: PostgreSQL drops no database while someone logs in, and that may be a
        // unit of work in this very task. What the last tests leave goes with the server.
        thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(execute(&server, &statement));
        });
    }
}

async fn execute(server: &str, statement: &str) {
    let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls)
        .await
        .expect("the test server answers");
    let serving = tokio::spawn(connection);
    client.batch_execute(statement).await.expect(statement);
    drop(client);
    serving
        .await
        .expect("the connection ends")
        .expect("it ends well");
}
