//! The clock of the database is set between two polls.

use std::time::Duration;

use viridian_strategy::{BlueGreen, Policy, RouteHealth};

use super::{
    fixture::{Engine, Fixture, blue_green, call},
    keeper::Keeper,
    virtual_time::with_a_clock,
};
use crate::{Store, StoreError, UnitError};

/// Nothing has polled since, so that nobody has noticed: the call itself does.
#[tokio::test(flavor = "multi_thread")]
async fn g13_no_call_decides_by_a_clock_that_was_just_set() {
    let (url, keeper) = Keeper::create(Engine::Postgres).await;
    let client = with_a_clock(&url).await;
    let store = Store::open(&url).await.expect("it opens");
    let fixture = Fixture::of(store.with_steady_clock(), url, keeper);
    let id = fixture.ready(1, held_for_an_hour()).await;
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let promote = async || fixture.db.complete_manual_promote(id, None, &call()).await;
    let refused = promote().await.expect_err("an hour has to pass");
    assert!(matches!(refused, UnitError::Refused(_)), "{refused:?}");

    client.execute(FORWARD, &[]).await.expect("it is set");
    let set = promote().await.expect_err("it was set");
    let expected = matches!(set, UnitError::Store(StoreError::ClockSet));
    assert!(expected, "{set:?}");
    fixture.pass().await;
    let refused = promote()
        .await
        .expect_err("an hour has to pass all the same");
    assert!(matches!(refused, UnitError::Refused(_)), "{refused:?}");
    let corrected = "SELECT clock_correction / 1000000 AS n FROM horizon";
    assert!((7_199..=7_201).contains(&fixture.number(corrected).await));
}

fn held_for_an_hour() -> Policy {
    blue_green(|spec: &mut BlueGreen| spec.min_ready = Duration::from_secs(3_600))
}

const FORWARD: &str = "UPDATE virtual.clock SET ahead = '2 hours'";
