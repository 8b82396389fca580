//! A disk without room, of either engine: calls that write are refused, reads go on, and so does
//! everything when there is room again.

use rstest::rstest;
use rstest_reuse::apply;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};

use crate::{
    engines::both_engines,
    harness::{
        Api, Cluster, Engine, Server, SmallDisk, eventually, finish, named, refused, viridian,
    },
    health::until_ready_is,
};

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_a_full_disk_refuses_writes_and_loses_nothing(#[case] engine: Engine) {
    let database = SmallDatabase::create(engine).await;
    let server = Server::at(&database.url, |_| {}).await;
    let api = server.api().await;
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let created = api.create(named()).await;
        acknowledged.push(created.expect("there is room").id);
        database.disk.fill();
        acknowledged.extend(create_until_full(&api).await);
        until_ready_is(&api, NotServing).await;
        for id in &acknowledged {
            api.get(id).await;
        }
        database.disk.free();
        until_ready_is(&api, Serving).await;
        let created = api.create(named()).await;
        acknowledged.push(
            created
                .unwrap_or_else(|it| panic!("round {round}: {it:?}"))
                .id,
        );
    }
    drop(server);
    let checked = finish(viridian(&["check", "--database", &database.url])).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let server = Server::at(&database.url, |_| {}).await;
    let api = server.api().await;
    for id in acknowledged {
        api.get(&id).await;
    }
}

/// A supervisor starts it again until there is room.
#[tokio::test]
async fn g17_a_server_that_finds_no_room_at_its_start_may_be_restarted() {
    let database = SmallDatabase::create(Engine::Sqlite).await;
    database.disk.fill();
    let run = finish(viridian(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database",
        &database.url,
    ]))
    .await;
    assert_eq!(run.code, Some(101), "{run:?}");
    let error = run.stderr.lines().last().expect("a line");
    assert!(error.contains("disk is full"), "{run:?}");
    database.disk.free();
    let server = Server::at(&database.url, |_| {}).await;
    server
        .api()
        .await
        .create(named())
        .await
        .expect("there is room");
}

/// A database on a disk of its own.
struct SmallDatabase {
    url: String,
    // Of PostgreSQL it is a tablespace. Stopped before its disk is gone.
    _cluster: Option<Cluster>,
    disk: SmallDisk,
}

impl SmallDatabase {
    async fn create(engine: Engine) -> Self {
        if engine == Engine::Sqlite {
            let disk = SmallDisk::mount(3);
            let path = disk.path().join("viridian.db");
            return Self {
                url: format!("sqlite:{}", path.display()),
                _cluster: None,
                disk,
            };
        }
        let disk = SmallDisk::mount(24);
        disk.give_to_postgres();
        let cluster = Cluster::start().await;
        let folder = disk.path().display();
        cluster
            .execute(&format!("CREATE TABLESPACE small LOCATION '{folder}'"))
            .await;
        cluster
            .execute("CREATE DATABASE small TABLESPACE small")
            .await;
        let url = cluster.url();
        let (server, _) = url.rsplit_once('/').expect("it has a name");
        Self {
            url: format!("{server}/small"),
            _cluster: Some(cluster),
            disk,
        }
    }
}

/// What fits into pages that are there already is written. Returns the ids of that.
async fn create_until_full(api: &Api) -> Vec<String> {
    let mut ids = Vec::new();
    eventually("a full disk", async || match api.create(named()).await {
        Ok(created) => {
            ids.push(created.id);
            None
        }
        Err(refusal) => {
            let details = refused(&refusal, Code::Unavailable, "STORAGE_FULL");
            assert!(details.retry_info().is_some(), "{refusal:?}");
            assert!(refusal.message().contains("disk is full"), "{refusal:?}");
            Some(())
        }
    })
    .await;
    ids
}
