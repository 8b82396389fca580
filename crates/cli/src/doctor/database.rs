//! Checks of the database: connection, schema, write access, clock, invariants.

use std::path::Path;

use viridian_server::{CheckError, Extent, Inspection, OpenError, SchemaState, check, inspect};

use super::finding::DoctorFinding;
use crate::table::counted;

/// Checks the database of a URL. `default_folder` is the folder that the server creates
/// if it is missing.
pub(crate) async fn examine(url: &str, default_folder: Option<&Path>) -> Vec<DoctorFinding> {
    // Before the first start nothing is wrong: the server makes the folder and the database.
    if let Some(folder) = default_folder.filter(|folder| !folder.exists()) {
        let what = format!("none yet: `viridian serve` creates {}", folder.display());
        return vec![DoctorFinding::note("database", what)];
    }
    let found = match inspect(url).await {
        Ok(found) => found,
        Err(error) => return vec![unreachable(&error)],
    };
    let mut findings = vec![schema(&found)];
    findings.extend(found.read_only.as_ref().map(|why| {
        let fix = "connect to a primary server, as a role that owns the database";
        DoctorFinding::wrong("database", format!("cannot be written: {why}"), fix)
    }));
    findings.push(clock(&found));
    if let Some(extent) = &found.record {
        findings.push(record(url, extent).await);
    }
    findings
}

fn unreachable(error: &CheckError) -> DoctorFinding {
    let fix = match error {
        CheckError::Open(OpenError::Url(_)) => "write sqlite:PATH or postgres://USER@HOST/NAME",
        CheckError::Open(OpenError::File { .. }) => {
            "name a file in a folder, both writable for the user of the server"
        }
        CheckError::Open(OpenError::Unavailable(_)) => {
            "check that it is running, and check host, port, user, password and name in \
             --database"
        }
        CheckError::Open(_) | CheckError::Store(_) => {
            "see its log; if it belongs to another program, set --database to another one"
        }
    };
    DoctorFinding::wrong("database", error, fix)
}

fn schema(found: &Inspection) -> DoctorFinding {
    let engine = &found.engine;
    match found.schema {
        SchemaState::Current => {
            DoctorFinding::fine("database", format!("{engine}, the schema is up to date"))
        }
        SchemaState::Missing => DoctorFinding::note(
            "database",
            format!("{engine}, empty: `viridian serve` creates the schema"),
        ),
        SchemaState::Behind => DoctorFinding::note(
            "database",
            format!(
                "{engine}, the schema of an older version: `viridian serve` upgrades it, and older \
                 versions can then no longer use it"
            ),
        ),
        SchemaState::Newer => DoctorFinding::wrong(
            "database",
            format!("{engine}, the schema of a newer version"),
            "run that version or a later one, or restore the backup from before its first start",
        ),
    }
}

/// Compares the clocks of this machine and of the database, and the recorded times.
fn clock(found: &Inspection) -> DoctorFinding {
    let seconds = |micros: i64| micros / 1_000_000;
    let skew = seconds(found.here.as_micros() - found.deciding.as_micros());
    let last_change = found.record.as_ref().and_then(|it| it.last_change);
    // Against the database's clock, which stamped the change.
    let future = last_change.map_or(0, |at| seconds(at.as_micros() - found.deciding.as_micros()));
    if future > MAX_CLOCK_SKEW {
        return DoctorFinding::wrong(
            "clock",
            format!(
                "the last recorded change is {future} s in the future, and deadlines are late by \
                 that time"
            ),
            "correct the clock that went back: the database server's on PostgreSQL, else this machine's",
        );
    }
    if skew.abs() > MAX_CLOCK_SKEW {
        let which = if skew > 0 { "ahead of" } else { "behind" };
        let skew = skew.abs();
        return DoctorFinding::wrong(
            "clock",
            format!("this machine is {skew} s {which} the database, whose clock decides"),
            "synchronise both by NTP; certificates and the log use this machine's clock",
        );
    }
    DoctorFinding::fine(
        "clock",
        "agrees with the database and with the recorded times",
    )
}

/// Checks the invariants, unless there are too many deployments to do it quickly.
async fn record(url: &str, extent: &Extent) -> DoctorFinding {
    let deployments = counted(extent.deployments, "deployment");
    if extent.deployments > MAX_CHECKED_DEPLOYMENTS {
        let what = format!("{deployments}, too many to check here: run `viridian check`");
        return DoctorFinding::note("record", what);
    }
    let fix = "run `viridian check` for the list; restore a backup if nothing explains it";
    match check(url, None).await {
        Ok(found) if found.violations.is_empty() => {
            DoctorFinding::fine("record", format!("{deployments}, all invariants hold"))
        }
        Ok(found) => {
            let count = counted(found.violations.len() as u64, "violation");
            DoctorFinding::wrong("record", format!("{count} of invariants"), fix)
        }
        Err(error) => DoctorFinding::wrong("record", error, fix),
    }
}

/// In seconds. The call that reads the database's clock takes less.
const MAX_CLOCK_SKEW: i64 = 5;

/// The check of this many deployments takes less than a second.
const MAX_CHECKED_DEPLOYMENTS: u64 = 1000;
