//! Whatever bytes come, the server refuses them in the words of the contract, and
//! goes on: no panic, no INTERNAL, no memory without bound.
//!
//! The messages are made from the descriptors, so that a new field is tried too.
//! `VIRIDIAN_HOSTILE=100000` sends that many, half of them to each engine, and
//! `VIRIDIAN_HOSTILE_SEED` sends others.

mod frame;
mod message;
mod rng;
mod send;

use std::{collections::BTreeSet, env, fs, rc::Rc};

use rstest::rstest;
use rstest_reuse::apply;
use tokio::task::{JoinSet, LocalSet};
use tonic::{Code, Status};
use viridian_client::CallCredentials;
use viridian_proto::v1::deployment_service_client::DeploymentServiceClient;

use self::{message::Sender, rng::Rng, send::Answer};
use crate::{
    attacks::{Bystander, report},
    engines::both_engines,
    harness::{Engine, TestEnv, creation, finish, manual, methods, refused, viridian},
};

#[apply(both_engines)]
#[tokio::test]
async fn nothing_that_is_sent_brings_it_down(#[case] engine: Engine) {
    // Each engine gets half of them.
    let count = number("VIRIDIAN_HOSTILE", 10_000) / 2;
    let seed = number("VIRIDIAN_HOSTILE_SEED", 1);
    report(&format!("seed {seed}: {count} messages"));
    let env = Rc::new(TestEnv::start(engine).await);
    env.serving(1, manual()).await;
    let channel = env.server.api().await.channel();
    let shown = DeploymentServiceClient::with_interceptor(channel, CallCredentials::anonymous());
    let others = Bystander::calling(shown).await;

    let tried = Rc::new(
        LocalSet::new()
            .run_until(send_all(&env, seed, 0..count / 10))
            .await,
    );
    let warm = memory(&env, "VmRSS");
    let more = LocalSet::new()
        .run_until(send_all(&env, seed, count / 10..count))
        .await;
    let (after, peak) = (memory(&env, "VmRSS"), memory(&env, "VmHWM"));
    report(&format!(
        "{}; {warm} → {after} KiB, peak {peak}",
        others.end().await
    ));
    assert!(after < warm + GROWTH, "grew from {warm} to {after} KiB");
    assert!(peak < PEAK, "took {peak} KiB at once");

    let tried: BTreeSet<_> = tried.iter().chain(&more).cloned().collect();
    for field in message::fields() {
        assert!(tried.contains(&field), "{field} was never set");
    }
    let log = env.server.log();
    for word in ["panicked", r#""level":"ERROR""#] {
        assert!(!log.contains(word), "{word}: {log}");
    }
    still_serves(&env).await;
}

/// Sends messages by their numbers, some at the same time. Gives the fields that
/// they had.
async fn send_all(env: &Rc<TestEnv>, seed: u64, numbers: std::ops::Range<u64>) -> BTreeSet<String> {
    let methods = methods();
    let mut tried = BTreeSet::new();
    let mut running = JoinSet::new();
    for number in numbers {
        let mut rng = Rng::new(seed, number);
        let method = rng.one_of(&methods).clone();
        let mut sender = Sender::new(&mut rng);
        let message = sender.message(&method.input());
        tried.append(&mut sender.tried);
        let request = frame::request(&mut rng, &method, message);
        let what = format!("message {number} of seed {seed}, {}", method.name());
        let channel = env.api.channel();
        if running.len() == AT_ONCE {
            let ended = running.join_next().await.expect("some run");
            ended.expect("it is as it ought to be");
        }
        running.spawn_local(async move {
            let answer = send::send(channel, request, &what).await;
            check(&answer, &what);
        });
    }
    running.join_all().await;
    tried
}

/// Done, or refused in the words of the contract.
fn check(answer: &Answer, what: &str) {
    match &answer.status {
        None => assert_eq!(answer.http, 200, "{what}"),
        Some(status) if status.code() == Code::Ok => assert_eq!(answer.http, 200, "{what}"),
        Some(status) => {
            let reason = reason(status).unwrap_or_else(|| panic!("{what}: {status:?}"));
            refused(status, status.code(), &reason);
            let ours = ![Code::Internal, Code::Unknown, Code::DataLoss].contains(&status.code());
            assert!(ours, "{what}: {status:?}");
            let expected = if reason == "NOT_GRPC" { 415 } else { 200 };
            assert_eq!(answer.http, expected, "{what}");
            // In base64; not every client takes more than 8 KiB.
            let room = status.details().len() * 4 / 3 + status.message().len() * 3;
            assert!(room < 8_000, "{what}: {room} bytes of headers");
        }
    }
}

fn reason(status: &Status) -> Option<String> {
    use tonic_types::StatusExt as _;
    let details = status.get_error_details();
    details.error_info().map(|info| info.reason.clone())
}

async fn still_serves(env: &TestEnv) {
    let request = viridian_proto::v1::CreateDeploymentRequest {
        name: "after-all-that".to_owned(),
        ..creation(1, manual())
    };
    let created = env.api.create(request).await.expect("it serves");
    let ready = viridian_proto::v1::DeploymentLifecycle::Ready;
    env.api
        .until(&created.id, "READY", |it| it.lifecycle() == ready)
        .await;
    let database = env.server.database().url().to_owned();
    let check = finish(viridian(&["check", "--database", &database])).await;
    assert_eq!(check.code, Some(0), "{check:?}");
}

/// Of the server's process, in KiB.
fn memory(env: &TestEnv, what: &str) -> u64 {
    let file = format!("/proc/{}/status", env.server.id());
    let status = fs::read_to_string(file).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let words = line.expect(what).trim_start_matches(':').split_whitespace();
    words.into_iter().next().expect(what).parse().expect(what)
}

fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

const AT_ONCE: usize = 8;
/// In KiB.
const GROWTH: u64 = 100 * 1024;
const PEAK: u64 = 500 * 1024;
