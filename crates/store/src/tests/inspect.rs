//! What is found out about a database before a server runs on it.

use uuid::Uuid;

use super::fixture::{Engine, Fixture};
use crate::{
    inspect,
    schema::{HORIZON, TABLES},
};

/// A role that may write every table but one is told which.
#[tokio::test(flavor = "multi_thread")]
async fn every_table_that_a_role_may_not_write_is_found() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let role = format!("role_{}", Uuid::now_v7().simple());
    let create = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'r'; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
    );
    fixture.tamper(&create).await.expect("the role is created");
    let mut url: url::Url = fixture.url.parse().expect("a URL");
    url.set_username(&role).expect("a name");
    url.set_password(Some("r")).expect("a password");
    let mut found = Vec::new();
    found.push((None, inspect(url.as_str()).await));
    for table in TABLES.into_iter().chain([HORIZON]) {
        let revoke = format!("REVOKE UPDATE ON {table} FROM {role}");
        fixture.tamper(&revoke).await.expect("it is revoked");
        found.push((Some(table), inspect(url.as_str()).await));
        let grant = format!("GRANT UPDATE ON {table} TO {role}");
        fixture.tamper(&grant).await.expect("it is granted");
    }
    // Roles are not of a database: this one would outlive the test.
    let drop = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    fixture.tamper(&drop).await.expect("the role is dropped");

    for (table, inspection) in found {
        let inspection = inspection.expect("it answers");
        let expected = table.map(|table| format!("its role may not write {table}"));
        assert_eq!(inspection.read_only, expected);
    }
}
