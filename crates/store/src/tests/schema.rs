//! The two trees of migrations mean the same: by what the databases say of the
//! schemas that came of them.

mod catalog;
mod expression;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use diesel::{QueryableByName, sql_query, sql_types::Text};

pub(super) use self::catalog::Catalog;
use self::{
    catalog::{Column, Table},
    expression::canonical,
};
use super::fixture::{Engine, Fixture, manual};
use viridian_engine::load;

#[tokio::test(flavor = "multi_thread")]
async fn both_engines_have_the_same_schema() {
    let (sqlite, postgres) = schemas().await;
    assert!(postgres.tables.len() >= 7, "{:?}", postgres.tables.keys());
    assert_eq!(differences(&sqlite, &postgres), Vec::<String>::new());
}

/// Each of these is found, and nothing besides it.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_found() {
    let (sqlite, postgres) = schemas().await;
    type Doctor = fn(&mut Catalog);
    let cases: [(Doctor, &str); 12] = [
        (|it| drop(it.migrations.pop()), "migrations"),
        (|it| drop(it.tables.remove("replies")), "table replies"),
        (
            |it| drop(table(it, "routes").columns.remove("failure")),
            "routes: column failure",
        ),
        (
            |it| column(it, "routes", "failure").nullable = true,
            "routes: column failure",
        ),
        (
            |it| column(it, "routes", "failure").kind = "BLOB".into(),
            "routes: column failure",
        ),
        (
            |it| column(it, "events", "position").generated = false,
            "events: column position",
        ),
        (
            |it| table(it, "history").primary_key.reverse(),
            "history: primary key",
        ),
        (|it| table(it, "events").unique.clear(), "events: unique"),
        (
            |it| {
                let foreign = &mut table(it, "deployments").foreign;
                let mut key = foreign.pop_first().expect("one");
                key.deferred = false;
                foreign.insert(key);
            },
            "deployments: foreign keys",
        ),
        (
            |it| index(it, "deployments_due").predicate = None,
            "deployments: index deployments_due",
        ),
        (
            |it| index(it, "routes_of_deployment").columns.reverse(),
            "routes: index routes_of_deployment",
        ),
        (
            |it| {
                let checks = &mut table(it, "deployments").checks;
                assert!(checks.remove(&canonical("epoch >= 0")));
                checks.insert(canonical("epoch > 0"));
            },
            "deployments: checks",
        ),
    ];
    for (doctor, found) in cases {
        let mut doctored = sqlite.clone();
        doctor(&mut doctored);
        let differences = differences(&doctored, &postgres);
        let [one] = &differences[..] else {
            panic!("{found}: {differences:#?}");
        };
        assert!(one.starts_with(found), "{found}: {one}");
    }
}

/// On SQLite a list of more than two is made a table of at each row. Here a word that is
/// not in it is refused without.
#[tokio::test(flavor = "multi_thread")]
async fn words_are_checked_without_a_table() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    // One that is DEPLOYING, and whose route is to be started.
    let id = fixture.ready(1, manual()).await;
    fixture.deploy(id).await;
    for (table, column) in [
        ("deployments", "lifecycle"),
        ("deployments", "sub_step"),
        ("routes", "status"),
        ("routes", "health"),
        ("routes", "traffic_status"),
        ("assignments", "action"),
        ("history", "result"),
    ] {
        let update = format!("UPDATE {table} SET {column} = 'NONE'");
        let refused = fixture
            .tamper(&update)
            .await
            .expect_err("it is no such word");
        let refused = refused.to_string();
        assert!(refused.contains("CHECK constraint failed"), "{refused}");
        let mut reader = fixture.db.reader().await.expect("a reader");
        let plan = sql_query(format!("EXPLAIN {update} WHERE rowid = 1"));
        let plan: Vec<Step> = load!(&mut reader, plan.clone()).expect("a plan");
        assert!(plan.iter().any(|step| step.opcode == "TypeCheck"));
        let tables = plan.iter().filter(|step| step.opcode == "OpenEphemeral");
        assert_eq!(tables.count(), 0, "{table}.{column}");
    }
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    opcode: String,
}

async fn schemas() -> (Catalog, Catalog) {
    let sqlite = Fixture::new(Engine::Sqlite).await;
    let postgres = Fixture::new(Engine::Postgres).await;
    (
        Catalog::read(&sqlite.url).await,
        Catalog::read(&postgres.url).await,
    )
}

/// Where two schemas do not mean the same.
fn differences(sqlite: &Catalog, postgres: &Catalog) -> Vec<String> {
    let mut found = Vec::new();
    compare(
        &mut found,
        "migrations",
        &sqlite.migrations,
        &postgres.migrations,
    );
    for (name, sqlite, postgres) in pairs(&sqlite.tables, &postgres.tables) {
        let (Some(sqlite), Some(postgres)) = (sqlite, postgres) else {
            found.push(format!("table {name} is only on one"));
            continue;
        };
        let postgres = &as_sqlite_has_it(postgres);
        for (column, sqlite, postgres) in pairs(&sqlite.columns, &postgres.columns) {
            compare(
                &mut found,
                &format!("{name}: column {column}"),
                &sqlite,
                &postgres,
            );
        }
        for (index, sqlite, postgres) in pairs(&sqlite.indices, &postgres.indices) {
            compare(
                &mut found,
                &format!("{name}: index {index}"),
                &sqlite,
                &postgres,
            );
        }
        let part = |part| format!("{name}: {part}");
        compare(
            &mut found,
            &part("primary key"),
            &sqlite.primary_key,
            &postgres.primary_key,
        );
        compare(
            &mut found,
            &part("unique"),
            &sqlite.unique,
            &postgres.unique,
        );
        compare(
            &mut found,
            &part("foreign keys"),
            &sqlite.foreign,
            &postgres.foreign,
        );
        compare(
            &mut found,
            &part("checks"),
            &sqlite.checks,
            &postgres.checks,
        );
    }
    found
}

fn compare<T: PartialEq + Debug>(found: &mut Vec<String>, what: &str, sqlite: &T, postgres: &T) {
    if sqlite != postgres {
        found.push(format!(
            "{what}: {sqlite:?} on SQLite, {postgres:?} on PostgreSQL"
        ));
    }
}

/// A table of PostgreSQL with the types that stand for its own on SQLite, which
/// has fewer. A boolean is a number there, and a CHECK.
fn as_sqlite_has_it(table: &Table) -> Table {
    let mut table = table.clone();
    for (name, column) in &mut table.columns {
        if column.kind == "boolean" {
            table.checks.insert(canonical(&format!("{name} IN (0, 1)")));
        }
        column.kind = match &*column.kind {
            "uuid" | "bytea" => "BLOB",
            "text" | "timestamp with time zone" => "TEXT",
            "integer" | "bigint" | "boolean" => "INTEGER",
            "double precision" => "REAL",
            other => other,
        }
        .to_owned();
    }
    table
}

/// What two maps have under each of their names.
fn pairs<'a, T>(
    one: &'a BTreeMap<String, T>,
    other: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = (&'a String, Option<&'a T>, Option<&'a T>)> {
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    names
        .into_iter()
        .map(|name| (name, one.get(name), other.get(name)))
}

fn table<'a>(catalog: &'a mut Catalog, name: &str) -> &'a mut Table {
    catalog.tables.get_mut(name).expect("it is there")
}

fn column<'a>(catalog: &'a mut Catalog, of: &str, name: &str) -> &'a mut Column {
    table(catalog, of)
        .columns
        .get_mut(name)
        .expect("it is there")
}

fn index<'a>(catalog: &'a mut Catalog, name: &str) -> &'a mut catalog::Index {
    let mut tables = catalog.tables.values_mut();
    tables
        .find_map(|table| table.indices.get_mut(name))
        .expect("it is there")
}
