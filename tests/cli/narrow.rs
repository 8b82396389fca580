//! Terminals of 80 and of 60 columns: what matters is on the screen, and nothing wraps.

use viridian_proto::v1::{BlueGreenSpec, DeploymentPolicy, GateTimeout, GateTimeoutAction};

use super::json;
use crate::harness::{Engine, GROUP, Terminal, TestEnv, blue_green, creation, seconds};

/// A name that does not fit, and whose end tells it from others.
const LONG: &str = "card-authorization-gateway-eu-1";

/// A deployment with a long name at a gate that times out.
async fn at_gate(env: &TestEnv) -> String {
    let policy: DeploymentPolicy = blue_green(BlueGreenSpec {
        gate_timeout: Some(GateTimeout {
            duration: seconds(3600.0 * 24.0 * 20.0),
            action: GateTimeoutAction::Rollback.into(),
        }),
        ..BlueGreenSpec::default()
    });
    let mut request = creation(2, policy);
    request.name = LONG.to_owned();
    assert_eq!(
        request
            .metadata
            .as_ref()
            .map(|it| it.resource_group.as_str()),
        Some(GROUP)
    );
    let created = env.api.create(request).await.expect("it is created");
    let name = format!("{}/{LONG}", created.project);
    let is_ready = |it: &viridian_proto::v1::Deployment| {
        it.lifecycle() == viridian_proto::v1::DeploymentLifecycle::Ready
    };
    env.api.until(&name, "READY", is_ready).await;
    let reply = env.api.create_revision(&name, true).await;
    reply.expect("it is activated");
    let at_gate = |it: &viridian_proto::v1::Deployment| {
        it.sub_step() == viridian_proto::v1::DeploymentSubStep::AwaitingPromotion
    };
    env.api.until(&name, "the gate", at_gate).await;
    name
}

/// The lines of a table, one for each row: a row that wrapped would be two.
fn lines(screen: &str) -> Vec<&str> {
    screen
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect()
}

#[tokio::test]
async fn c7_tables_fit_80_and_60_columns() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let name = at_gate(&env).await;
    let url = env.server.url();
    for columns in [80, 60] {
        let list = Terminal::narrow(columns, &url, &["deployment", "list"]);
        let (code, screen) = list.ended().await;
        assert_eq!(code, 0, "{screen}");
        let shown = lines(&screen);
        assert_eq!(shown.len(), 2, "{columns}:\n{screen}");
        // Of the name both ends; the state as a whole.
        let row = shown[1];
        assert!(row.starts_with("shop/"), "{screen}");
        let name_cell = row.split_whitespace().next().unwrap_or_default();
        assert!(name_cell.ends_with("eu-1"), "{columns}:\n{screen}");
        assert!(row.contains("AWAITING_PROMOTION"), "{screen}");
        assert!(row.contains("2/2"), "{screen}");

        let history = json(&url, &["history", &name, "-o", "json"]).await;
        let history = history["entries"].as_array().map_or(0, Vec::len) + 1;
        for (arguments, rows) in [
            (&["deployment", "routes", &name][..], 5),
            (&["deployment", "revisions", &name], 3),
            (&["deployment", "history", &name], history),
            (&["top", "--once"], 2),
        ] {
            let table = Terminal::narrow(columns, &url, arguments);
            let (code, screen) = table.ended().await;
            assert_eq!(code, 0, "{screen}");
            assert_eq!(
                lines(&screen).len(),
                rows,
                "{arguments:?} at {columns}:\n{screen}"
            );
        }
    }
}

#[tokio::test]
async fn c7_a_deployment_fits_80_and_60_columns() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let name = at_gate(&env).await;
    let url = env.server.url();
    for columns in [80, 60] {
        let get = Terminal::narrow(columns, &url, &["deployment", "get", &name]);
        let (code, screen) = get.ended().await;
        assert_eq!(code, 0, "{screen}");
        assert!(screen.contains(LONG), "{screen}");
        // A long value goes on below its beginning, never at the edge of the screen.
        for line in lines(&screen) {
            let is_row = line.starts_with("            ") || line.starts_with(char::is_uppercase);
            assert!(is_row, "{columns}: {line:?}\n{screen}");
        }
        // The gate has its date and zone.
        assert!(screen.contains("UTC"), "{screen}");
    }
}

#[tokio::test]
async fn c7_the_live_view_fits_80_and_60_columns() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let name = at_gate(&env).await;
    let url = env.server.url();
    for columns in [80, 60] {
        let live = Terminal::narrow(columns, &url, &["deployment", "watch", &name]);
        let screen = live.shows("q quit").await;
        // The countdown of the gate, and the keys on one line.
        let countdown = screen.lines().find(|line| line.contains("blocker: "));
        let countdown = countdown.unwrap_or_default().trim_end();
        assert!(countdown.ends_with(['d', 'h']), "{columns}:\n{screen}");
        let keys = screen.lines().find(|line| line.contains("p promote"));
        let keys = keys.unwrap_or_default();
        assert!(keys.contains("q quit"), "{columns}:\n{screen}");
        assert!(screen.contains("eu-1"), "{columns}:\n{screen}");

        let top = Terminal::narrow(columns, &url, &["top"]);
        let screen = top.shows("AWAITING_PROMOTION").await;
        let row = screen.lines().find(|line| line.starts_with("shop/"));
        let row = row.unwrap_or_default();
        assert!(
            row.contains("  19d23h  ") || row.contains("  20d  "),
            "{columns}:\n{screen}"
        );
    }
}
