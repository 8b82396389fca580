//! What a process has taken of the machine.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio_postgres::Client;

/// The processor time of a server and of its database's sessions up to a moment.
pub(crate) struct Spent {
    at: Instant,
    server: Duration,
    database: Duration,
}

impl Spent {
    pub(crate) async fn until_now(servers: &[i32], database: &Client) -> Self {
        let rows = database.query(SESSIONS, &[]).await.expect("the sessions");
        Self {
            at: Instant::now(),
            server: servers.iter().copied().map(cpu_time).sum(),
            database: rows.iter().map(|row| cpu_time(row.get(0))).sum(),
        }
    }

    /// The shares of one core since then: of the servers, and of the database.
    pub(crate) fn shares(&self, since: &Self) -> String {
        let while_ = (self.at - since.at).as_secs_f64();
        let percent =
            |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / while_ * 100.0;
        format!(
            "server {:.2} % of a core, database {:.2} %",
            percent(self.server, since.server),
            percent(self.database, since.database)
        )
    }
}

/// The memory of a process that is in use, in megabytes.
pub(crate) fn resident(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: f64 = kilobytes
        .and_then(|number| number.parse().ok())
        .expect("kB");
    kilobytes / 1024.0
}

/// None for one that is over.
fn cpu_time(pid: i32) -> Duration {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return Duration::ZERO;
    };
    // Behind the name, which is in brackets: the 12th and 13th, in hundredths.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

const SESSIONS: &str = "SELECT pid FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name = 'viridian'";
