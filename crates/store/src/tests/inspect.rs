//! What is found out about a database before a server runs on it.

use uuid::Uuid;

use std::collections::BTreeSet;

use super::fixture::{Engine, Fixture, engines};
use crate::{
    inspect,
    schema::{HORIZON, TABLES},
};
use diesel::{QueryableByName, sql_types::Text};
use rstest_reuse::apply;
use viridian_engine::Snapshot;

/// What is copied, and what a role must be able to write, is all there is. A migration that
/// makes a table and leaves it out of the list is found here.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn e12_the_list_has_every_table_of_the_schema(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut snapshot = Snapshot::open(&fixture.url).await.expect("it answers");
    let query = snapshot.dialect(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = current_schema()",
    );
    let found: Vec<TableName> = snapshot.rows(query, None).await.expect("they are listed");
    let found: BTreeSet<_> = found.into_iter().map(|table| table.name).collect();
    let ours = TABLES
        .into_iter()
        .chain([HORIZON, "__diesel_schema_migrations"]);
    assert_eq!(found, ours.map(ToOwned::to_owned).collect());
}

#[derive(QueryableByName)]
struct TableName {
    #[diesel(sql_type = Text)]
    name: String,
}

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
