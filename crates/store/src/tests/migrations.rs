//! The schema goes up, down and up again; and one that is newer is left alone.

use diesel::{Connection as _, QueryableByName, SqliteConnection, sql_types::BigInt};
use diesel_async::{AsyncConnection as _, AsyncMigrationHarness, AsyncPgConnection};
use diesel_migrations::MigrationHarness as _;
use rstest_reuse::apply;

use viridian_engine::Snapshot;
use viridian_strategy::{BlockerCode, Policy, RollingUpdate, RouteHealth, Strategy};

use super::{
    evidence::{blockers, table},
    fixture::{Engine, Fixture, blue_green, engines, manual, with_request},
    invariants,
    schema::Catalog,
};
use crate::{
    Deployment, OpenError, Store,
    migrations::{MIGRATIONS, POSTGRES, SQLITE},
};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_up_and_down_and_up_again(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.at_the_gate(1, manual()).await;
    let (url, keeper) = fixture.close();
    let before = Catalog::read(&url).await;
    assert!(before.tables.contains_key("deployments"));

    revert(&url, MIGRATIONS.versions().expect("they are known").len()).await;
    let reverted = Catalog::read(&url).await;
    assert_eq!(reverted, Catalog::default(), "nothing is left");

    let fixture = Fixture::reopen((url, keeper)).await;
    assert_eq!(Catalog::read(&fixture.url).await, before);
    fixture.at_the_gate(1, manual()).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_and_left_alone(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.ready(1, manual()).await;
    let newest = "INSERT INTO __diesel_schema_migrations (version) VALUES ('29991231000001')";
    fixture.tamper(newest).await.expect("it is tampered with");
    // What would be applied, were it not refused.
    let known = MIGRATIONS
        .versions()
        .expect("they are known")
        .pop()
        .expect("one");
    let lacks = format!("DELETE FROM __diesel_schema_migrations WHERE version = '{known}'");
    fixture.tamper(&lacks).await.expect("it is tampered with");
    let footprint = fixture.footprint().await;
    let (url, keeper) = fixture.close();
    let before = Catalog::read(&url).await;

    let refused = Store::open(&url).await.map(|_| ());
    let Err(error @ OpenError::Schema(_)) = refused else {
        panic!("{refused:?}");
    };
    let sentence = error.to_string();
    assert!(sentence.contains("29991231000001"), "{sentence}");
    assert!(sentence.contains("newer program"), "{sentence}");
    assert_eq!(sentence.lines().count(), 1);
    assert_eq!(Catalog::read(&url).await, before);

    revert_to_known(&url, &known).await;
    let fixture = Fixture::reopen((url, keeper)).await;
    assert_eq!(fixture.footprint().await, footprint);
}

/// What was said anew in the schema of a file is what SQLite finds there.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sound_after_each_of_them() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    fixture.at_the_gate(1, manual()).await;
    let (url, keeper) = fixture.close();
    let sound = "SELECT COUNT(*) AS n FROM pragma_integrity_check WHERE integrity_check = 'ok'";
    for undone in 0..=MIGRATIONS.versions().expect("they are known").len() {
        revert(&url, undone).await;
        let mut snapshot = Snapshot::open(&url).await.expect("it opens");
        let found: Vec<Count> = snapshot.rows(sound, None).await.expect("it is told");
        assert_eq!(found[0].n, 1, "without the last {undone}");
        drop(snapshot);
        drop(Store::open(&url).await.expect("it goes up again"));
    }
    drop(keeper);
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// A program from before documents left anything out could read them again.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn documents_are_whole_again_below(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let terms = with_request();
    let (promoted, _) = fixture.at_the_gate(2, manual()).await;
    let first = fixture.db.complete_manual_promote(promoted, None, &terms);
    let first = first.await.expect("it is promoted");
    let rolling = Policy {
        strategy: Strategy::Rolling(RollingUpdate::default()),
        ..Policy::default()
    };
    let rolling = fixture.ready(1, rolling).await;
    let seen = (fixture.get(promoted).await, fixture.get(rolling).await);

    let documents = [
        (
            "deployments",
            "status",
            &["provisioning", "retained", "blockers"][..],
        ),
        ("deployments", "metadata", &["domain", "session_owner"]),
        ("history", "status", &["unhealthy", "failed", "blockers"]),
        (
            "events",
            "snapshot",
            &["labels", "domain", "provisioning", "blockers"],
        ),
        (
            "replies",
            "reply",
            &["labels", "domain", "provisioning", "blockers", "min_ready"],
        ),
    ];
    let lacking = async |table: &str, column: &str, word: &str| {
        let lacks = format!("{column} NOT LIKE '%\"{word}\"%'");
        let query = format!("SELECT COUNT(*) AS n FROM {table} WHERE {lacks}");
        fixture.number(&query).await
    };
    for (table, column, words) in documents {
        for word in words {
            assert!(lacking(table, column, word).await > 0, "{table}: {word}");
        }
    }
    revert_with(&fixture.url, "20261126000005").await;
    for (table, column, words) in documents {
        for word in words {
            assert_eq!(lacking(table, column, word).await, 0, "{table}: {word}");
        }
    }
    let blue_green = "policy LIKE '%\"BlueGreen\"%'";
    let whole = "policy LIKE '%\"scale_down_delay\"%'";
    let odd = format!("SELECT COUNT(*) AS n FROM deployments WHERE ({blue_green}) <> ({whole})");
    assert_eq!(fixture.number(&odd).await, 0);

    // They still say the same.
    let fixture = Fixture::reopen(fixture.close()).await;
    let again = fixture.db.complete_manual_promote(promoted, None, &terms);
    let again = again.await.expect("it is the same call");
    assert_eq!(again.deployment, first.deployment);
    let now = (fixture.get(promoted).await, fixture.get(rolling).await);
    // Below, activations have no numbers: the one that made a revision current is the first.
    // Nor is there a place for how the last rollout came out.
    let renumbered = |it: Deployment| Deployment {
        last_activation: 1,
        current_activation: 1,
        rollout_number: 1,
        last_rollout: None,
        ..it
    };
    assert_eq!(now, (renumbered(seen.0), renumbered(seen.1)));
    invariants::hold(&fixture).await;
}

/// A program from before a policy could leave out the number of replacements finds one: the
/// target, which is what a policy without it means.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_has_a_number_of_replacements_below(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let unset = blue_green(|spec| spec.max_replacements = None);
    let (unset, _) = fixture.at_the_gate(2, unset).await;
    let terms = with_request();
    let promoted = fixture.db.complete_manual_promote(unset, None, &terms);
    promoted.await.expect("it is at the gate");
    let none = fixture.ready(3, manual()).await;
    let rolling = Policy {
        strategy: Strategy::Rolling(RollingUpdate::default()),
        ..Policy::default()
    };
    let rolling = fixture.ready(1, rolling).await;
    let known = fixture.get(rolling).await.policy;

    let versions = MIGRATIONS.versions().expect("they are known");
    let defaults = versions.iter().position(|it| it == "20261130000007");
    let undone = versions.len() - defaults.expect("it is one of them");
    revert(&fixture.url, undone).await;
    for (table, column) in [
        ("deployments", "policy"),
        ("events", "snapshot"),
        ("replies", "reply"),
    ] {
        let blue_green = format!("{column} LIKE '%\"BlueGreen\"%'");
        let number = format!("{column} LIKE '%\"max_replacements\"%'");
        let odd = format!("SELECT COUNT(*) AS n FROM {table} WHERE ({blue_green}) <> ({number})");
        assert_eq!(fixture.number(&odd).await, 0, "{table}");
    }

    let fixture = Fixture::reopen(fixture.close()).await;
    let said = async |id| match fixture.get(id).await.policy.strategy {
        Strategy::BlueGreen(spec) => spec.max_replacements,
        Strategy::Rolling(_) | Strategy::Canary(_) => None,
    };
    assert_eq!((said(unset).await, said(none).await), (Some(2), Some(0)));
    assert_eq!(fixture.get(rolling).await.policy, known);
    invariants::hold(&fixture).await;
}

/// Earlier programs took any text for an address, and the same one twice.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_what_is_no_address_is_none_after_the_migration(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let sound = fixture.ready(1, manual()).await;
    let id = fixture.ready(5, manual()).await;
    let routes = fixture.routes(id).await;
    let (url, keeper) = fixture.close();
    revert_with(&url, "20261130000009").await;
    let addresses = [
        "::1:8080",
        "h:80\n",
        "h.test:80",
        "h.test:80",
        "[::1]:65536",
    ];
    for (route, address) in routes.iter().zip(addresses) {
        let id = match engine {
            Engine::Sqlite => format!("unhex('{}')", route.view.id.0.simple()),
            Engine::Postgres => format!("'{}'", route.view.id),
        };
        execute(
            &url,
            &format!("UPDATE routes SET address = '{address}' WHERE id = {id}"),
        )
        .await;
    }

    let fixture = Fixture::reopen((url, keeper)).await;
    let due = "SELECT COUNT(*) AS n FROM deployments WHERE due_at IS NOT NULL";
    assert_eq!(fixture.number(due).await, 1, "the other one is as it was");
    fixture.settle().await;
    assert_eq!(table(&fixture, id).await, ["h.test:80"]);
    assert_eq!(table(&fixture, sound).await.len(), 1);
    let codes = [BlockerCode::RoutesNotReady, BlockerCode::NoAddress];
    assert_eq!(blockers(&fixture, id).await, codes);
    invariants::hold(&fixture).await;
}

/// Those that take traffic keep it: nobody knows which of them have been HEALTHY.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a10_the_migration_takes_no_traffic_away(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let ids: Vec<_> = fixture
        .routes(id)
        .await
        .iter()
        .map(|it| it.view.id)
        .collect();
    fixture.health(&ids, RouteHealth::Unhealthy).await;
    let before = table(&fixture, id).await;
    assert_eq!(before.len(), 2, "they fail open");
    let (url, keeper) = fixture.close();
    revert_with(&url, "20261130000009").await;
    let fixture = Fixture::reopen((url, keeper)).await;
    fixture.health(&ids[..1], RouteHealth::Degraded).await;
    fixture.settle().await;
    assert_eq!(table(&fixture, id).await, before);
    invariants::hold(&fixture).await;
}

async fn execute(url: &str, statement: &str) {
    if let Some(path) = url.strip_prefix("sqlite:") {
        use diesel::connection::SimpleConnection as _;
        let mut connection = SqliteConnection::establish(path).expect("the file opens");
        connection.batch_execute(statement).expect("it is done");
    } else {
        use diesel_async::SimpleAsyncConnection as _;
        let connection = AsyncPgConnection::establish(url).await;
        let mut connection = connection.expect("the server answers");
        connection
            .batch_execute(statement)
            .await
            .expect("it is done");
    }
}

/// Undoes the migration of this version, and all after it.
pub(super) async fn revert_with(url: &str, version: &str) {
    let known = MIGRATIONS.versions().expect("they are known");
    let after = known.iter().filter(|it| it.as_str() >= version).count();
    assert!(after > 0, "no migration {version}");
    revert(url, after).await;
}

/// Undoes so many migrations, the last one first.
async fn revert(url: &str, count: usize) {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let mut connection = SqliteConnection::establish(path).expect("the file opens");
        for _ in 0..count {
            let reverted = connection.revert_last_migration(SQLITE);
            reverted.expect("it goes down");
        }
    } else {
        let connection = AsyncPgConnection::establish(url).await;
        let mut harness = AsyncMigrationHarness::new(connection.expect("the server answers"));
        for _ in 0..count {
            let reverted = harness.revert_last_migration(POSTGRES);
            reverted.expect("it goes down");
        }
    }
}

/// Forgets the migration that is not known, and remembers the one that is.
async fn revert_to_known(url: &str, known: &str) {
    let statement =
        format!("UPDATE __diesel_schema_migrations SET version = '{known}' WHERE version > '2999'");
    execute(url, &statement).await;
}
