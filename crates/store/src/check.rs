//! Checks the invariants.

use std::{collections::BTreeSet, time::Duration};

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};
use viridian_engine::{OpenError, Snapshot};
use viridian_strategy::DeploymentId;

use crate::{
    Store,
    error::{CheckError, StoreError},
    migrations::MIGRATIONS,
    types::{Id, Sql},
};

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The invariants that were checked: `I1` and so on.
    pub invariants: Vec<&'static str>,
    /// How many deployments there are, tombstones included.
    pub deployments: u64,
    /// The violations that were found.
    pub violations: Vec<Violation>,
    /// What SQLite finds wrong with its file: pages, indexes, constraints. At most 100, in
    /// its own words. PostgreSQL is not asked.
    pub damages: Vec<String>,
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number: `I1` and so on.
    pub invariant: &'static str,
    /// What must hold.
    pub rule: &'static str,
    /// The deployment that breaks it.
    pub deployment: DeploymentId,
    /// What was found instead, as the end of a sentence about the deployment.
    pub what: String,
}

/// Gives the log of a restored database a new name, after its schema was brought up to date: see
/// [`Store::rename_log`].
///
/// # Errors
///
/// A [`CheckError`] that is one clear sentence.
pub async fn rename_log(url: &str) -> Result<(), CheckError> {
    let store = Store::open(url).await?;
    Ok(store.rename_log().await?)
}

/// Counts again what projects use, and what else is derived from other rows: see
/// [`Store::recount`].
///
/// # Errors
///
/// A [`CheckError`] that is one clear sentence.
pub async fn recount(url: &str) -> Result<(), CheckError> {
    let store = Store::open(url).await?;
    Ok(store.recount().await?)
}

/// Checks the invariants on one snapshot of a database. Servers may run on it. Nothing is
/// changed, the schema included.
///
/// Only a running server keeps deadlines, so I11 and I13 are checked only with a grace: how
/// long something may be overdue. Some seconds are enough.
///
/// # Errors
///
/// A [`CheckError`] that is one clear sentence. A violation is not an error.
pub async fn check(url: &str, grace: Option<Duration>) -> Result<Check, CheckError> {
    let mut snapshot = Snapshot::open(url).await?;
    // Before the schema: what is stored about it may be what is damaged.
    let damages = snapshot.damages().await?;
    if !damages.is_empty() {
        // Queries on a damaged file fail, or find what is not there.
        return Ok(Check {
            invariants: Vec::new(),
            deployments: 0,
            violations: Vec::new(),
            damages,
        });
    }
    expect_schema(&mut snapshot).await?;
    let file = snapshot.dialect(
        include_str!("invariants/sqlite.sql"),
        include_str!("invariants/postgres.sql"),
    );
    let count = "SELECT COUNT(*) AS n FROM deployments";
    let counts: Vec<Count> = snapshot.rows(count, None).await?;
    let mut asked = BTreeSet::new();
    let mut violations = Vec::new();
    for query in queries(file) {
        let parameter = grace.filter(|_| query.is_about_time());
        if query.is_about_time() && parameter.is_none() {
            continue;
        }
        let seconds = parameter.map(|grace| grace.as_secs_f64());
        let rows: Vec<Row> = snapshot.rows(query.text, seconds).await?;
        // By number: as text, I10 would come before I2.
        asked.insert((query.number(), query.invariant));
        violations.extend(rows.into_iter().map(|row| Violation {
            invariant: query.invariant,
            rule: query.rule,
            deployment: row.deployment.0,
            what: row.what,
        }));
    }
    Ok(Check {
        invariants: asked.into_iter().map(|(_, invariant)| invariant).collect(),
        deployments: counts.first().map_or(0, |count| count.n.cast_unsigned()),
        violations,
        damages,
    })
}

/// One query of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// `I1` and so on; several queries may share it.
    pub(crate) invariant: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) text: &'static str,
}

/// Splits a file into queries. Each query is a paragraph: a blank line, a line
/// `-- I1: what ought to hold`, and the query, which ends with a semicolon.
pub(crate) fn queries(file: &'static str) -> impl Iterator<Item = Query> {
    file.split("\n\n-- ").skip(1).filter_map(|paragraph| {
        let (invariant, rest) = paragraph.split_once(": ")?;
        let (rule, text) = rest.split_once('\n')?;
        Some(Query {
            invariant,
            rule,
            text: text.trim_end().trim_end_matches(';'),
        })
    })
}

impl Query {
    fn is_about_time(&self) -> bool {
        self.text.contains("$1") || self.text.contains("?1")
    }

    fn number(&self) -> u32 {
        self.invariant[1..].parse().unwrap_or(u32::MAX)
    }
}

/// Checks that the schema is the one of this program.
pub(crate) async fn expect_schema(snapshot: &mut Snapshot) -> Result<(), CheckError> {
    let found = match applied(snapshot).await {
        Ok(found) => found,
        // An empty database has no such table. Only the error's text says that this is the cause.
        Err(StoreError::Internal(why)) if why.contains("__diesel_schema_migrations") => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let expected = MIGRATIONS.versions()?;
    let why = if found == expected {
        return Ok(());
    } else if found.is_empty() {
        "it has none of Viridian's tables".to_owned()
    } else if let Some(missing) = expected.iter().find(|version| !found.contains(version)) {
        format!("it lacks migration {missing}, which a server applies when it starts")
    } else {
        "it was made by a newer program".to_owned()
    };
    Err(OpenError::Schema(why).into())
}

/// Returns the applied migrations, in order. Fails if the database has no Viridian tables.
pub(crate) async fn applied(snapshot: &mut Snapshot) -> Result<Vec<String>, StoreError> {
    let query = "SELECT version FROM __diesel_schema_migrations ORDER BY version";
    let rows: Vec<Version> = snapshot.rows(query, None).await?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Id)]
    deployment: Sql<DeploymentId>,
    #[diesel(sql_type = Text)]
    what: String,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}
