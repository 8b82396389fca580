//! What many deployments and several servers cost, by the program itself:
//!
//! ```sh
//! VIRIDIAN_DURABLE_POSTGRES=counting scripts/with-postgres \
//!     cargo bench -p viridian --bench fleet -- [timers | idle | watchers | due]…
//! ```
//!
//! - `timers`: how late what is to happen at a time does happen.
//! - `idle`: what 100,000 deployments cost in which nothing happens.
//! - `watchers`: what 1,000 traffic watchers of 10,000 deployments are sent at
//!   1,000 promotions, and how soon.
//! - `due`: how long one server and two take over what is due all at once.
//!
//! Nothing else should run meanwhile. `VIRIDIAN_BENCH_PART=100` does a hundredth
//! of it, to see that it works.

#![expect(clippy::print_stdout, reason = "figures are its result")]

use std::{env, time::Duration};

#[path = "bench_fleet/due.rs"]
mod due;
#[expect(dead_code, reason = "it is there for the tests")]
#[expect(unused_imports, reason = "it is there for the tests")]
mod harness;
#[path = "bench_fleet/idle.rs"]
mod idle;
#[path = "bench_fleet/process.rs"]
mod process;
#[expect(dead_code, reason = "it is there for other benches")]
#[path = "../benches/stage.rs"]
mod stage;
#[path = "bench_fleet/timers.rs"]
mod timers;
#[path = "bench_fleet/watchers.rs"]
mod watchers;

use self::harness::{Engine, count};

#[tokio::main]
async fn main() {
    let words = env::args().skip(1).filter(|word| !word.starts_with('-'));
    let wanted: Vec<String> = words.collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    if is_wanted("timers") {
        for engine in [Engine::Sqlite, Engine::Postgres] {
            timers::run(engine).await;
        }
    }
    if is_wanted("idle") {
        idle::run().await;
    }
    if is_wanted("watchers") {
        watchers::run().await;
    }
    if is_wanted("due") {
        due::run().await;
    }
}

/// So many, or the part of it that is asked for.
fn part(of: usize) -> usize {
    of / count("VIRIDIAN_BENCH_PART", 1) as usize
}

/// Of some times: the median, the one that 99 in 100 do not exceed, and the most.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!(
        "p50 {:.1?}, p99 {:.1?}, most {:.1?}",
        at(50),
        at(99),
        at(100)
    )
}
