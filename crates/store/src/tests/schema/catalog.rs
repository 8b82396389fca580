//! What a database says of its own schema.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{QueryableByName, sql_types::Text};
use serde::Deserialize;

use super::expression::canonical;
use viridian_engine::Snapshot;

/// A schema, in words that both engines have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::tests) struct Catalog {
    pub(in crate::tests) migrations: Vec<String>,
    pub(in crate::tests) tables: BTreeMap<String, Table>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::tests) struct Table {
    pub(super) columns: BTreeMap<String, Column>,
    pub(super) primary_key: Vec<String>,
    pub(super) unique: BTreeSet<Vec<String>>,
    pub(super) foreign: BTreeSet<Foreign>,
    pub(super) indices: BTreeMap<String, Index>,
    pub(super) checks: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// As the engine calls it.
    pub(super) kind: String,
    pub(super) nullable: bool,
    /// Whether the database numbers the rows by it.
    pub(super) generated: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Foreign {
    pub(super) columns: Vec<String>,
    pub(super) table: String,
    pub(super) targets: Vec<String>,
    pub(super) deferred: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) columns: Vec<String>,
    pub(super) unique: bool,
    pub(super) predicate: Option<String>,
}

impl Catalog {
    /// Asks a database.
    pub(in crate::tests) async fn read(url: &str) -> Self {
        let mut snapshot = Snapshot::open(url).await.expect("it opens");
        let query = snapshot.dialect(include_str!("sqlite.sql"), include_str!("postgres.sql"));
        let found: Vec<Value> = snapshot.rows(query, None).await.expect("it is told");
        let tables = match &snapshot {
            Snapshot::Pg(_) => of_postgres(&found[0].value),
            Snapshot::Sqlite(_) => of_sqlite(&found[0].value),
        };
        let applied = "SELECT version AS value FROM __diesel_schema_migrations ORDER BY version";
        let migrations: Vec<Value> = snapshot.rows(applied, None).await.expect("they are told");
        Self {
            migrations: migrations.into_iter().map(|it| it.value).collect(),
            tables,
        }
    }
}

fn of_postgres(text: &str) -> BTreeMap<String, Table> {
    let tables: Vec<OfPostgres> = serde_json::from_str(text).expect("what the query gives");
    let tables = tables.into_iter().map(|it| {
        let (primary, unique): (Vec<_>, Vec<_>) = it.keys.into_iter().partition(|key| key.primary);
        let table = Table {
            columns: columns(it.columns),
            primary_key: primary.into_iter().flat_map(|key| key.columns).collect(),
            unique: unique.into_iter().map(|key| key.columns).collect(),
            foreign: it.foreign.into_iter().collect(),
            indices: indices(it.indices),
            checks: it.checks.iter().map(|check| canonical(check)).collect(),
        };
        (it.name, table)
    });
    tables.collect()
}

/// SQLite keeps conditions, and when a foreign key is checked, only in the text
/// of its catalog.
fn of_sqlite(text: &str) -> BTreeMap<String, Table> {
    let tables: Vec<OfSqlite> = serde_json::from_str(text).expect("what the query gives");
    let tables = tables.into_iter().map(|it| {
        let mut key: Vec<_> = it.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        let primary_key = key.into_iter().map(|column| column.name.clone()).collect();
        let (constraints, mut made): (Vec<_>, Vec<_>) = it
            .indices
            .into_iter()
            .partition(|index| index.origin != "c");
        for index in &mut made {
            let text = index.text.as_deref().unwrap_or_default();
            index.predicate = text
                .split_once(" WHERE ")
                .or(text.split_once("\n    WHERE "))
                .map(|(_, condition)| condition.to_owned());
        }
        let unique = constraints.into_iter().filter(|index| index.origin == "u");
        let mut foreign: BTreeMap<i64, Foreign> = BTreeMap::new();
        for reference in it.foreign {
            let key = foreign.entry(reference.id).or_insert_with(|| Foreign {
                columns: Vec::new(),
                table: reference.table,
                targets: Vec::new(),
                deferred: false,
            });
            key.deferred |= is_deferred(&it.text, &reference.column);
            key.columns.push(reference.column);
            key.targets.push(reference.target);
        }
        let table = Table {
            primary_key,
            unique: unique.map(|index| index.columns).collect(),
            foreign: foreign.into_values().collect(),
            indices: indices(made),
            checks: conditions(&it.text).into_iter().map(canonical).collect(),
            columns: columns(it.columns),
        };
        (it.name, table)
    });
    tables.collect()
}

fn columns(found: Vec<FoundColumn>) -> BTreeMap<String, Column> {
    let columns = found.into_iter().map(|it| {
        let column = Column {
            kind: it.kind,
            nullable: it.nullable,
            generated: it.generated,
        };
        (it.name, column)
    });
    columns.collect()
}

fn indices(found: Vec<FoundIndex>) -> BTreeMap<String, Index> {
    let indices = found.into_iter().map(|it| {
        let index = Index {
            columns: it.columns,
            unique: it.unique,
            predicate: it.predicate.as_deref().map(canonical),
        };
        (it.name, index)
    });
    indices.collect()
}

/// What stands in the parentheses behind each CHECK.
fn conditions(text: &str) -> Vec<&str> {
    let behind = text
        .match_indices("CHECK (")
        .map(|(at, it)| &text[at + it.len()..]);
    let conditions = behind.map(|rest| {
        let mut depth = 1;
        let end = rest.find(|it| {
            depth += i32::from(it == '(') - i32::from(it == ')');
            depth == 0
        });
        &rest[..end.expect("it is closed")]
    });
    conditions.collect()
}

/// Whether the line of a column says so.
fn is_deferred(text: &str, column: &str) -> bool {
    let line = |line: &&str| line.split_whitespace().next() == Some(column);
    text.lines()
        .find(line)
        .is_some_and(|line| line.contains("DEFERRABLE INITIALLY DEFERRED"))
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(Deserialize)]
struct OfPostgres {
    name: String,
    columns: Vec<FoundColumn>,
    keys: Vec<FoundKey>,
    foreign: Vec<Foreign>,
    indices: Vec<FoundIndex>,
    checks: Vec<String>,
}

#[derive(Deserialize)]
struct OfSqlite {
    name: String,
    text: String,
    columns: Vec<FoundColumn>,
    foreign: Vec<FoundReference>,
    indices: Vec<FoundIndex>,
}

#[derive(Deserialize)]
struct FoundColumn {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    nullable: bool,
    generated: bool,
    /// On SQLite: its place in the primary key, from 1.
    #[serde(default)]
    key: i64,
}

#[derive(Deserialize)]
struct FoundKey {
    primary: bool,
    columns: Vec<String>,
}

/// One column of a foreign key.
#[derive(Deserialize)]
struct FoundReference {
    id: i64,
    column: String,
    table: String,
    target: String,
}

#[derive(Deserialize)]
struct FoundIndex {
    name: String,
    columns: Vec<String>,
    unique: bool,
    #[serde(default)]
    predicate: Option<String>,
    /// On SQLite: c when it was made by CREATE INDEX.
    #[serde(default)]
    origin: String,
    #[serde(default)]
    text: Option<String>,
}
