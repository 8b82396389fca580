//! The clock of the database is set between two polls.

use std::time::Duration;

use tokio_postgres::NoTls;
use viridian_strategy::{BlueGreen, Policy, RouteHealth};

use super::{
    fixture::{Engine, Fixture, blue_green, call},
    keeper::Keeper,
};
use crate::{Store, StoreError, UnitError};

/// Nothing has polled since, so that nobody has noticed: the call itself does.
#[tokio::test(flavor = "multi_thread")]
async fn g13_no_call_decides_by_a_clock_that_was_just_set() {
    let (url, keeper) = Keeper::create(Engine::Postgres).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls)
        .await
        .expect("it answers");
    tokio::spawn(connection);
    let name = url::Url::parse(&url).expect("a URL");
    let name = name.path().trim_start_matches('/').to_owned();
    let dial = format!("{DIAL}; ALTER DATABASE {name} SET search_path = public, dial, pg_catalog");
    client.batch_execute(&dial).await.expect("it has a dial");
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

const DIAL: &str = "CREATE SCHEMA dial; \
     CREATE TABLE dial.clock (ahead interval NOT NULL); \
     INSERT INTO dial.clock VALUES ('0'); \
     CREATE FUNCTION dial.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS \
     'SELECT pg_catalog.clock_timestamp() + ahead FROM dial.clock'";

const FORWARD: &str = "UPDATE dial.clock SET ahead = '2 hours'";
