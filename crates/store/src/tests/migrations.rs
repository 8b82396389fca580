//! The schema goes up, down and up again; and one that is newer is left alone.

use diesel::{Connection as _, SqliteConnection};
use diesel_async::{AsyncConnection as _, AsyncMigrationHarness, AsyncPgConnection};
use diesel_migrations::MigrationHarness as _;
use rstest::rstest;

use super::{
    fixture::{Engine, Fixture, manual},
    schema::Catalog,
};
use crate::{
    Database, OpenError,
    migrations::{POSTGRES, SQLITE, versions},
};

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_up_and_down_and_up_again(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.at_the_gate(1, manual()).await;
    let (url, folder) = fixture.close();
    let before = Catalog::read(&url).await;
    assert!(before.tables.contains_key("deployments"));

    revert_all(&url).await;
    let reverted = Catalog::read(&url).await;
    assert_eq!(reverted, Catalog::default(), "nothing is left");

    let fixture = Fixture::reopen((url, folder)).await;
    assert_eq!(Catalog::read(&fixture.url).await, before);
    fixture.at_the_gate(1, manual()).await;
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_and_left_alone(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.ready(1, manual()).await;
    let newest = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')";
    fixture.tamper(newest).await.expect("it is tampered with");
    // What would be applied, were it not refused.
    let known = versions().expect("they are known").pop().expect("one");
    let lacks = format!("DELETE FROM __diesel_schema_migrations WHERE version = '{known}'");
    fixture.tamper(&lacks).await.expect("it is tampered with");
    let footprint = fixture.footprint().await;
    let (url, folder) = fixture.close();
    let before = Catalog::read(&url).await;

    let refused = Database::open(&url).await.map(|_| ());
    let Err(error @ OpenError::Schema(_)) = refused else {
        panic!("{refused:?}");
    };
    let sentence = error.to_string();
    assert!(sentence.contains("29991231000001"), "{sentence}");
    assert!(sentence.contains("newer program"), "{sentence}");
    assert_eq!(sentence.lines().count(), 1);
    assert_eq!(Catalog::read(&url).await, before);

    revert_to_known(&url, &known).await;
    let fixture = Fixture::reopen((url, folder)).await;
    assert_eq!(fixture.footprint().await, footprint);
}

/// Undoes every migration.
async fn revert_all(url: &str) {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let mut connection = SqliteConnection::establish(path).expect("the file opens");
        let reverted = connection.revert_all_migrations(SQLITE);
        assert!(!reverted.expect("it goes down").is_empty());
    } else {
        let connection = AsyncPgConnection::establish(url).await;
        let mut harness = AsyncMigrationHarness::new(connection.expect("the server answers"));
        let reverted = harness.revert_all_migrations(POSTGRES);
        assert!(!reverted.expect("it goes down").is_empty());
    }
}

/// Forgets the migration that is not known, and remembers the one that is.
async fn revert_to_known(url: &str, known: &str) {
    let statement =
        format!("UPDATE __diesel_schema_migrations SET version = '{known}' WHERE version > '2999'");
    if let Some(path) = url.strip_prefix("sqlite:") {
        use diesel::connection::SimpleConnection as _;
        let mut connection = SqliteConnection::establish(path).expect("the file opens");
        connection.batch_execute(&statement).expect("it is done");
    } else {
        use diesel_async::SimpleAsyncConnection as _;
        let mut connection = AsyncPgConnection::establish(url).await.expect("it answers");
        connection
            .batch_execute(&statement)
            .await
            .expect("it is done");
    }
}
