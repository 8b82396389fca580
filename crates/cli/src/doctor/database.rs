//! The database: whether it answers, whose schema it has, whether it can be
//! written, its clock, and what is recorded.

use std::path::Path;

use viridian_server::{CheckError, Extent, Inspection, OpenError, SchemaState, check, inspect};

use super::finding::DoctorFinding;
use crate::table::counted;

/// Looks at the database of a URL. `folder` is made by the server, when it is not
/// there.
pub(crate) async fn look(url: &str, folder: Option<&Path>) -> Vec<DoctorFinding> {
    if let Some(folder) = folder.filter(|folder| !folder.exists()) {
        let what = format!("{}, which `viridian serve` makes", folder.display());
        return vec![DoctorFinding::note("database", what)];
    }
    let found = match inspect(url).await {
        Ok(found) => found,
        Err(error) => return vec![unreachable(&error)],
    };
    let mut findings = vec![schema(&found)];
    findings.extend(found.read_only.as_ref().map(|why| {
        let mend = "let the role in the URL own the database, on a server that can be written";
        DoctorFinding::wrong("database", format!("cannot be written: {why}"), mend)
    }));
    findings.push(clock(&found));
    if let Some(extent) = &found.record {
        findings.push(record(url, extent).await);
    }
    findings
}

fn unreachable(error: &CheckError) -> DoctorFinding {
    let mend = match error {
        CheckError::Open(OpenError::Url(_)) => "write sqlite:PATH or postgres://USER@HOST/NAME",
        CheckError::Open(OpenError::File { .. }) => {
            "give --database a file in a folder, both of which the server's user can write"
        }
        CheckError::Open(OpenError::Unavailable(_)) => {
            "see that it runs, and that host, port, user, password and name in --database are its \
             own"
        }
        CheckError::Open(_) | CheckError::Store(_) => {
            "see its log; if it is not Viridian's, give --database another"
        }
    };
    DoctorFinding::wrong("database", error, mend)
}

fn schema(found: &Inspection) -> DoctorFinding {
    let engine = &found.engine;
    match found.schema {
        SchemaState::Current => DoctorFinding::fine(
            "database",
            format!("{engine}, the schema is this program's"),
        ),
        SchemaState::Missing => DoctorFinding::note(
            "database",
            format!("{engine}, empty: `viridian serve` makes the schema"),
        ),
        SchemaState::Behind => DoctorFinding::note(
            "database",
            format!(
                "{engine}, an older program's schema: `viridian serve` brings it up to date, and \
                 older programs then no longer start on it"
            ),
        ),
        SchemaState::Newer => DoctorFinding::wrong(
            "database",
            format!("{engine}, a newer program's schema"),
            "run that program or a later one, or restore the backup from before its start",
        ),
    }
}

/// Whether this machine and the database agree on the time, and the time with what
/// is recorded.
fn clock(found: &Inspection) -> DoctorFinding {
    let seconds = |micros: i64| micros / 1_000_000;
    let skew = seconds(found.here.as_micros() - found.deciding.as_micros());
    let last_change = found.record.as_ref().and_then(|it| it.last_change);
    let future = last_change.map_or(0, |at| seconds(at.as_micros() - found.deciding.as_micros()));
    if future > TOLERABLE {
        return DoctorFinding::wrong(
            "clock",
            format!(
                "the last recorded change is {future} s in the future, and what is timed waits for \
                 that"
            ),
            "set the clock that went back, of the database on PostgreSQL and else of this machine",
        );
    }
    if skew.abs() > TOLERABLE {
        let which = if skew > 0 { "ahead of" } else { "behind" };
        let skew = skew.abs();
        return DoctorFinding::wrong(
            "clock",
            format!("this machine is {skew} s {which} the database, whose time decides"),
            "have both set by NTP; certificates and the log go by this machine's",
        );
    }
    DoctorFinding::fine(
        "clock",
        "agrees with the database and with what is recorded",
    )
}

/// Whether the invariants hold, where asking takes no time.
async fn record(url: &str, extent: &Extent) -> DoctorFinding {
    let deployments = counted(extent.deployments, "deployment");
    if extent.deployments > FEW {
        let what = format!("{deployments}; `viridian check` looks at them all");
        return DoctorFinding::note("record", what);
    }
    let mend = "`viridian check` says which; restore a backup if nothing explains it";
    match check(url, None).await {
        Ok(found) if found.violations.is_empty() => {
            DoctorFinding::fine("record", format!("{deployments}, all invariants hold"))
        }
        Ok(found) => {
            let count = counted(found.violations.len() as u64, "violation");
            DoctorFinding::wrong("record", format!("{count} of invariants"), mend)
        }
        Err(error) => DoctorFinding::wrong("record", error, mend),
    }
}

/// In seconds. A call to the database takes less.
const TOLERABLE: i64 = 5;

/// So many deployments are checked in well under a second.
const FEW: u64 = 1000;
