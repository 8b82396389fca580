//! A process that does units of work is killed at any moment, again and again:
//! what it was told before that is in the database.
//!
//! `VIRIDIAN_KILLS` says how often. It is the process that dies, not the
//! machine: whether a disk keeps what it says it has is not shown here.

mod program;

use std::{
    collections::HashMap,
    env,
    process::Stdio,
    time::{Duration, Instant},
};

use rand::{RngExt as _, rngs::StdRng};
use rstest_reuse::apply;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{ChildStdout, Command},
    time::{sleep, timeout},
};
use viridian_strategy::{DeploymentId, RouteStatus};

use self::program::{Told, request};
use super::{
    chance::{chance, count, tell},
    fixture::{Engine, Fixture, engines},
    invariants,
};
use crate::{Updated, replies::StoredReply};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_is_there_after_a_kill(#[case] engine: Engine) {
    let kills = count("VIRIDIAN_KILLS", 20);
    let mut chance = chance(engine, 6);
    let mut database = Fixture::new(engine).await.close();
    let mut all = Vec::new();
    for _ in 0..kills {
        let told = run_and_kill(&database.0, &mut chance).await;
        let fixture = Fixture::reopen(database).await;
        check(&fixture, engine, &told).await;
        invariants::hold(&fixture).await;
        all.extend(told);
        database = fixture.close();
    }
    // What one process was told, no later one has lost.
    let fixture = Fixture::reopen(database).await;
    check(&fixture, engine, &all).await;
    let calls = all.iter().filter(|told| matches!(told, Told::Call { .. }));
    let calls = calls.count();
    let replies = fixture.number("SELECT COUNT(*) AS n FROM replies").await;
    tell(&format!(
        "{engine:?}, {kills} kills: {} units were told, {calls} of them calls, and all are there; \
         {} more calls were done, and nobody was told",
        all.len(),
        replies - i64::try_from(calls).expect("a count"),
    ));
    assert!(calls > 0, "a test of nothing");
}

/// Starts the program, kills it at some moment, and gives what it was told.
async fn run_and_kill(database: &str, chance: &mut StdRng) -> Vec<Told> {
    let this = env::current_exe().expect("the path of this program");
    let mut process = Command::new(this)
        .args(["--exact", program::NAME, "--ignored", "--nocapture"])
        .env(program::DATABASE, database)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it can be started");
    let stdout = process.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout).lines();
    let mut told = Vec::new();
    // One in eight may be killed before it has begun.
    if !chance.random_ratio(1, 8) {
        told.push(
            timeout(WAIT_TIMEOUT, first(&mut lines))
                .await
                .expect("it works"),
        );
    }
    let end = Instant::now() + LONGEST.mul_f64(chance.random());
    sleep(end - Instant::now()).await;
    process.start_kill().expect("it runs until it is killed");
    while let Some(line) = lines.next_line().await.expect("it can be read") {
        told.extend(Told::parse(&line));
    }
    let output = timeout(WAIT_TIMEOUT, process.wait_with_output()).await;
    let output = output.expect("it ends").expect("it can be waited for");
    let stderr = String::from_utf8_lossy(&output.stderr);
    // A signal ended it, and nothing before that.
    assert_eq!(output.status.code(), None, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    told
}

async fn first(lines: &mut Lines<BufReader<ChildStdout>>) -> Told {
    while let Some(line) = lines.next_line().await.expect("it can be read") {
        if let Some(told) = Told::parse(&line) {
            return told;
        }
    }
    panic!("it ended by itself");
}

/// Asserts that all that a process was told is in the database.
async fn check(fixture: &Fixture, engine: Engine, told: &[Told]) {
    let mut sequences: HashMap<DeploymentId, i64> = HashMap::new();
    let mut requests = Vec::new();
    let mut reader = fixture.db.reader().await.expect("a reader");
    for told in told {
        match told {
            Told::Call {
                method,
                request: id,
                deployment,
                generation,
                sequence,
            } => {
                let request = request(*id, method);
                // Every reply has a deployment, and the others have more besides.
                let found = reader
                    .find_reply::<Updated>((*deployment).into(), &request)
                    .await;
                let Some(StoredReply::Same(Updated { deployment: reply })) =
                    found.expect("it is read")
                else {
                    panic!("there is no reply to {told:?}");
                };
                assert_eq!(reply.generation, *generation, "{told:?}");
                assert_eq!(reply.sequence, *sequence, "{told:?}");
                requests.push(match engine {
                    Engine::Sqlite => format!("x'{}'", id.simple()),
                    Engine::Postgres => format!("'{id}'"),
                });
                let last = sequences.entry(*deployment).or_default();
                *last = (*last).max(*sequence);
            }
            Told::Cycle {
                deployment,
                sequence,
            } => {
                let last = sequences.entry(*deployment).or_default();
                *last = (*last).max(*sequence);
            }
            Told::Report { route, status } => {
                let found = reader.find_routes(vec![*route]).await;
                let found = found.expect("it is read")[0].view.status;
                let legal = found == *status
                    || *status == RouteStatus::Running && found != RouteStatus::Provisioning;
                assert!(legal, "{told:?}, and it is {found:?}");
            }
        }
    }
    drop(reader);
    for (id, sequence) in sequences {
        assert!(fixture.get(id).await.sequence >= sequence, "{id}");
    }
    for requests in requests.chunks(1_000) {
        let rows = format!(
            "SELECT COUNT(*) AS n FROM (SELECT request_id FROM history WHERE request_id IN ({}) \
             GROUP BY request_id) AS done",
            requests.join(", ")
        );
        let found = fixture.number(&rows).await;
        assert_eq!(usize::try_from(found), Ok(requests.len()), "in history");
    }
}

const LONGEST: Duration = Duration::from_millis(300);
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);
