//! CPU time. Unlike wall time it hardly changes when the machine has other work.

use std::{fs, process};

use crate::stage::{Side, Stage};

/// The CPU time of this process and of the database's processes, since they began.
#[derive(Clone, Copy)]
pub(crate) struct Spent {
    here: u64,
    database: u64,
}

impl Spent {
    pub(crate) async fn until_now(stage: &Stage) -> Self {
        let mut database = 0;
        if let Side::Postgres(client) = &stage.side {
            for row in client.query(BACKENDS, &[]).await.expect("the processes") {
                let pid: i32 = row.get(0);
                database += ticks(pid.cast_unsigned());
            }
        }
        Self {
            here: ticks(process::id()),
            database,
        }
    }

    /// Microseconds a call since then: in this process, and in the database.
    pub(crate) fn for_each(self, since: Self, calls: usize) -> [f64; 2] {
        let each = |now: u64, then: u64| (now - then) as f64 * TICK / calls as f64;
        [
            each(self.here, since.here),
            each(self.database, since.database),
        ]
    }
}

/// The CPU time of a process, in user and in system mode.
fn ticks(pid: u32) -> u64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return 0;
    };
    let behind_name = stat.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<&str> = behind_name.split(' ').collect();
    [11, 12]
        .iter()
        .map(|&field| fields[field].parse::<u64>().expect("ticks"))
        .sum()
}

/// In microseconds.
const TICK: f64 = 10_000.0;

const BACKENDS: &str = "SELECT pid FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name = 'viridian'";
