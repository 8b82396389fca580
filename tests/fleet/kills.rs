//! Servers are killed one after the other, while one stands still and one has a
//! wrong clock.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rstest::rstest;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{fault_case::FaultCase, servers::Servers};
use crate::harness::{Engine, TestDatabase, count};

#[rstest]
#[case::two_servers(&[None, Some("+1h")])]
#[case::five_servers(&[None, None, None, Some("-1h"), Some("+1h")])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rollout_ends_once_though_servers_are_killed(
    #[case] clocks: &[Option<&'static str>],
) {
    let database = TestDatabase::create(Engine::Postgres).await;
    let mut servers = Servers::start(database.url(), clocks).await;
    let deployments = count("VIRIDIAN_FLEET_DEPLOYMENTS", 100) as usize;
    let mut case = FaultCase::begin(database.url(), &servers.server_urls(), deployments).await;
    case.is_there(deployments).await;

    let mut rng = StdRng::seed_from_u64(clocks.len() as u64);
    let kills = count("VIRIDIAN_FLEET_KILLS", 6);
    let stopped = Duration::from_secs(count("VIRIDIAN_FLEET_STOPPED", 6).into());
    let before = case.answered();
    kill(&mut servers, &mut case, &mut rng, kills, stopped).await;
    let meanwhile = case.answered() - before;
    let summary = case.end(servers.all()).await;
    summary.tell(&format!(
        "{} servers, {kills} kills, one stopped for {stopped:?}, {meanwhile} calls meanwhile",
        servers.count()
    ));
    assert!(meanwhile > 0, "nothing happened meanwhile");
    assert!(summary.rollouts > 0, "nothing was rolled out");
    drop(servers);
}

/// Kills a server each second. One of the others stands still from the first
/// second on, for a while.
async fn kill(
    servers: &mut Servers,
    case: &mut FaultCase,
    rng: &mut StdRng,
    kills: u32,
    stopped: Duration,
) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stands = rng.random_range(0..servers.count());
    servers.signal(stands, Signal::SIGSTOP);
    let until = Instant::now() + stopped;
    let mut still = true;
    let mut done = 0;
    let mut checked = 0;
    while done < kills || still {
        seconds.tick().await;
        if still && Instant::now() >= until {
            servers.signal(stands, Signal::SIGCONT);
            still = false;
        }
        let place = rng.random_range(0..servers.count());
        if !(still && place == stands) {
            servers.kill(place).await;
            done += 1;
        }
        // As often in a long run, which leaves much to be looked through.
        if done >= checked + (kills / CHECKS).max(1) {
            case.holds().await;
            checked = done;
        }
    }
}

/// How often it is looked for violations meanwhile.
const CHECKS: u32 = 6;
