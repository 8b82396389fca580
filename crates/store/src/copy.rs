//! Copies a SQLite file into PostgreSQL.
//!
//! Rows are sent as JSON: SQLite writes it, and PostgreSQL reads it by the types of its
//! columns. So nothing here names the columns of a table.

use std::time::Duration;

use diesel::{
    QueryableByName, sql_query,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl as _;

use crate::{
    Limits, Store,
    check::expect_schema,
    error::{CopyError, StoreError},
    row_count::expect_rows,
    schema::{HORIZON, TABLES},
    transaction::UnitTransaction,
};
use viridian_engine::{Location, Snapshot, claim, load, with_conn};

/// How many rows of a table were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
}

/// Copies all rows of a file to an empty PostgreSQL database, in one transaction. No server may
/// have the file open. The file is not changed.
///
/// # Errors
///
/// A [`CopyError`] that is one clear sentence; then nothing was copied.
pub async fn copy(from: &str, to: &str) -> Result<Vec<Copied>, CopyError> {
    let (Location::Sqlite(path), Location::Postgres(_)) =
        (Location::parse(from)?, Location::parse(to)?)
    else {
        return Err(CopyError::Engines);
    };
    // A server that still ran would acknowledge calls which are not in the copy.
    let _claim = claim(&path)?;
    let mut source = Snapshot::open(from).await?;
    expect_schema(&mut source).await?;
    // This makes the tables, so that both schemas are those of this program.
    let target = Store::open_within(to, patient()).await?;
    target
        .write(async |tx: &mut UnitTransaction| {
            take(tx).await?;
            let mut copied = Vec::new();
            for table in TABLES {
                let rows = copy_table(&mut source, tx, table).await?;
                copied.push(Copied { table, rows });
            }
            go_on_numbering(&mut source, tx).await?;
            copy_horizon(&mut source, tx).await?;
            Ok(copied)
        })
        .await
}

/// Limits for statements that copy many rows.
fn patient() -> Limits {
    Limits {
        // The client waits twice as long for an answer. PostgreSQL's own timeout is off: see
        // `take`.
        statement_timeout: Duration::from_secs(60 * 60),
        ..Limits::default()
    }
}

/// Locks the tables, and checks that they are empty.
async fn take(tx: &mut UnitTransaction) -> Result<(), CopyError> {
    let all = TABLES.join(", ");
    let take = format!("SET LOCAL statement_timeout = 0; LOCK TABLE {all}");
    tx.connection().await?.execute(&take).await?;
    for table in TABLES {
        let query = sql_query(format!("SELECT EXISTS (SELECT FROM {table}) AS found"));
        let row: Found = with_conn!(tx.connection().await?, |c| query.clone().get_result(c))
            .map_err(StoreError::from)?;
        if row.found {
            return Err(CopyError::NotEmpty(table));
        }
    }
    Ok(())
}

async fn copy_table(
    source: &mut Snapshot,
    tx: &mut UnitTransaction,
    table: &str,
) -> Result<u64, StoreError> {
    let columns = columns(source, tx, table).await?;
    let names: Vec<_> = columns.iter().map(|it| it.name.as_str()).collect();
    let names = names.join(", ");
    let values: Vec<_> = columns.iter().map(Column::in_json).collect();
    let values = values.join(", ");
    // The positions of events stay the same, since watches resume by them. PostgreSQL would
    // otherwise refuse a value for a column that is GENERATED ALWAYS.
    let insert = format!(
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE \
         SELECT {names} FROM json_populate_recordset(NULL::{table}, $1::json)"
    );
    let (mut copied, mut after) = (0, 0);
    loop {
        // By rowid, which every table has, whatever its primary key is.
        let batch = format!(
            "SELECT json_group_array(json_object({values})) AS rows, COUNT(*) AS n, \
             MAX(rowid) AS last \
             FROM (SELECT rowid, * FROM {table} WHERE rowid > {after} ORDER BY rowid LIMIT {BATCH})"
        );
        let batch: Vec<Batch> = source.rows(&batch, None).await?;
        let Some(Batch {
            rows,
            n,
            last: Some(last),
        }) = batch.into_iter().next()
        else {
            return Ok(copied);
        };
        let query = sql_query(&insert).bind::<Text, _>(rows);
        let inserted = with_conn!(tx.connection().await?, |c| query.clone().execute(c))?;
        expect_rows("copy", usize::try_from(n).unwrap_or_default(), inserted)?;
        copied += n.cast_unsigned();
        after = last;
    }
}

/// Returns the columns of the file, with their types in PostgreSQL.
async fn columns(
    source: &mut Snapshot,
    tx: &mut UnitTransaction,
    table: &str,
) -> Result<Vec<Column>, StoreError> {
    let query = format!("SELECT name, type AS kind FROM pragma_table_info('{table}') ORDER BY cid");
    let mut columns: Vec<Column> = source.rows(&query, None).await?;
    let query = sql_query(
        "SELECT column_name::text AS name, data_type::text AS kind \
         FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1",
    )
    .bind::<Text, _>(table.to_owned());
    let types: Vec<Column> = load!(tx.connection().await?, query.clone())?;
    for column in &mut columns {
        let same = types.iter().find(|it| it.name == column.name);
        let Some(Column { kind, .. }) = same else {
            let name = &column.name;
            return Err(StoreError::Internal(format!(
                "{table} has no column {name}"
            )));
        };
        // SQLite has one type, BLOB, for ids and for bytes, which JSON has in different forms.
        column.kind.clone_from(kind);
    }
    Ok(columns)
}

/// Continues the numbering of positions. Those of pruned events must not be used again: a
/// watch that resumes after one would miss the new event.
async fn go_on_numbering(
    source: &mut Snapshot,
    tx: &mut UnitTransaction,
) -> Result<(), StoreError> {
    let query = "SELECT seq FROM sqlite_sequence WHERE name = 'events'";
    let last: Vec<Sequence> = source.rows(query, None).await?;
    // No event was ever written.
    let [Sequence { seq }] = &last[..] else {
        return Ok(());
    };
    let set = format!("SELECT setval(pg_get_serial_sequence('events', 'position'), {seq})");
    tx.connection().await?.execute(&set).await
}

/// Its one row is in the empty database, too.
async fn copy_horizon(source: &mut Snapshot, tx: &mut UnitTransaction) -> Result<(), StoreError> {
    let query = format!(
        "SELECT events, deployments, lower(hex(log_name)) AS log_name, \
         lower(hex(token_key)) AS token_key, unsealed_until FROM {HORIZON}"
    );
    let rows: Vec<Horizon> = source.rows(&query, None).await?;
    for Horizon {
        events,
        deployments,
        log_name,
        token_key,
        unsealed_until,
    } in rows
    {
        // It is the same log, so its tokens stay valid.
        let update = format!(
            "UPDATE {HORIZON} SET events = {events}, deployments = {deployments}, \
             log_name = '\\x{log_name}', token_key = '\\x{token_key}', \
             unsealed_until = {unsealed_until}"
        );
        tx.connection().await?.execute(&update).await?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
}

impl Column {
    /// Returns the arguments of `json_object` for the column, in JSON that PostgreSQL can read.
    fn in_json(&self) -> String {
        let Self { name, kind } = self;
        match kind.as_str() {
            // PostgreSQL reads a UUID without its dashes, too.
            "uuid" => format!("'{name}', iif({name} IS NULL, NULL, lower(hex({name})))"),
            "bytea" => format!("'{name}', iif({name} IS NULL, NULL, '\\x' || lower(hex({name})))"),
            _ => format!("'{name}', {name}"),
        }
    }
}

#[derive(QueryableByName)]
struct Batch {
    #[diesel(sql_type = Text)]
    rows: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last: Option<i64>,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = Bool)]
    found: bool,
}

#[derive(QueryableByName)]
struct Sequence {
    #[diesel(sql_type = BigInt)]
    seq: i64,
}

#[derive(QueryableByName)]
struct Horizon {
    #[diesel(sql_type = BigInt)]
    events: i64,
    #[diesel(sql_type = BigInt)]
    deployments: i64,
    #[diesel(sql_type = Text)]
    log_name: String,
    #[diesel(sql_type = Text)]
    token_key: String,
    #[diesel(sql_type = BigInt)]
    unsealed_until: i64,
}

// A batch is one JSON text, which both sides have in memory as a whole.
const BATCH: u32 = 500;
