//! The same through the columns of both engines.

use rstest_reuse::apply;
use uuid::Uuid;
use viridian_engine::Write;
use viridian_strategy::{DeploymentId, DeploymentState};

use super::{
    super::fixture::{Engine, Fixture, engines},
    cases,
    golden::Golden,
};
use crate::{
    Deployment, Event, EventFilter, EventKind, HistoryOutcome, Operation, Projects, Request,
    RequestId, Revision, RevisionReference, RevisionSpec, Tables, TrafficEndpoint,
    deployments::{NewState, insert_deployments, update_deployments},
    documents::Reply,
    events::insert_events,
    history::insert_moves,
    record::{NewHistoryEntry, OpenEntries, RouteEffects, TableContent, TableLine, TableShares},
    replies::{NewReply, RequestNamespace, StoredReply, insert_replies},
    revisions::insert_revisions,
    transaction::UnitTransaction,
};

/// A deployment, one of whose columns has a golden text.
struct Row {
    column: &'static str,
    case: &'static str,
    deployment: Deployment,
    table: TableContent,
    open_entries: OpenEntries,
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn the_columns_of_a_deployment_have_the_golden_texts(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let rows = rows();
    write(&fixture, with_revisions()).await;
    let inserts = rows.iter().map(|row| idle_state(row.deployment.clone()));
    write(&fixture, vec![insert_deployments(inserts.collect())]).await;
    let update = |row: &Row| NewState {
        table: row.table.clone(),
        open_entries: row.open_entries.clone(),
        ..idle_state(row.deployment.clone())
    };
    let updates = update_deployments(rows.iter().map(update).collect());
    write(&fixture, vec![updates]).await;

    for row in rows {
        let Row { column, case, .. } = row;
        let id = row.deployment.id;
        let name = &row.deployment.name;
        let text = format!("SELECT {column} AS line FROM deployments WHERE name = '{name}'");
        let golden = Golden::read(column);
        assert_eq!(fixture.lines(&text).await, [golden.text(case)], "{column}");
        assert_eq!(fixture.get(id).await, row.deployment, "{column}: {case}");
        let tables = Tables::Of(vec![id]);
        let mut reader = fixture.db.reader().await.expect("a reader");
        let tables = reader.traffic_tables(tables, Projects::All).await;
        let [table] = &tables.expect("they are read")[..] else {
            panic!("one table");
        };
        // None of their routes has a row, and so none has a revision.
        let endpoints: Vec<_> = row.table.lines.iter().map(endpoint).collect();
        assert_eq!(table.endpoints, endpoints, "{column}: {case}");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn history_and_events_have_the_golden_texts(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut writes = with_revisions();
    let moves = cases::statuses().into_iter().zip(1..);
    let moves = moves.map(|((_, status), number)| NewHistoryEntry {
        deployment: cases::deployment(),
        number,
        phase: Operation::Evaluate,
        outcome: HistoryOutcome::Success,
        from: None,
        to: DeploymentState::Pending { current: None }.phase(),
        revision: None,
        actor: String::new(),
        reason: String::new(),
        request: None,
        commit: None,
        status,
        // Of the first one: the others have changed none.
        changes: match number {
            1 => cases::changes().swap_remove(0).1,
            _ => Vec::new(),
        },
        effects: RouteEffects::default(),
        count: 0,
        failure: String::new(),
        weight_permille: None,
        at: cases::at(0),
        hung: false,
    });
    writes.push(insert_moves(moves.collect()));
    let events = cases::deployments().into_iter();
    let events = events.map(|(_, deployment)| Event {
        kind: EventKind::Moved,
        deployment,
        commit: None,
    });
    writes.push(insert_events(events.collect()));
    write(&fixture, writes).await;

    let found = fixture
        .lines("SELECT status AS line FROM history ORDER BY number")
        .await;
    let golden = Golden::read("status");
    assert_eq!(
        found,
        golden.iter().map(|(_, text)| text).collect::<Vec<_>>()
    );
    let found = fixture
        .lines("SELECT changes AS line FROM history WHERE changes IS NOT NULL")
        .await;
    assert_eq!(found, [Golden::read("changes").text("some")]);
    let mut history = fixture.history(cases::deployment()).await;
    history.reverse();
    assert_eq!(history[0].changes, cases::changes()[0].1);
    assert_eq!(history[1].changes, []);
    for (entry, (case, status)) in history.iter().zip(cases::statuses()) {
        assert_eq!(entry.status, status, "{case}");
    }

    let found = fixture
        .lines("SELECT snapshot AS line FROM events ORDER BY position")
        .await;
    let golden = Golden::read("deployment");
    assert_eq!(
        found,
        golden.iter().map(|(_, text)| text).collect::<Vec<_>>()
    );
    let filter = EventFilter {
        deployments: vec![cases::deployment()],
        projects: Vec::new(),
    };
    let mut reader = fixture.db.reader().await.expect("a reader");
    let events = reader.list_events(&filter, 0, i64::MAX, 100).await;
    for (entry, (case, deployment)) in events
        .expect("they are read")
        .iter()
        .zip(cases::deployments())
    {
        let event = entry.event.as_ref().expect("it parses");
        assert_eq!(event.deployment, deployment, "{case}");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn revisions_have_the_golden_texts(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    write(&fixture, with_revisions()).await;

    let mut found = fixture
        .lines("SELECT spec AS line FROM revisions ORDER BY number")
        .await;
    let golden = Golden::read("revision_spec");
    // The last one belongs to no case.
    found.truncate(cases::specs().len());
    assert_eq!(
        found,
        golden.iter().map(|(_, text)| text).collect::<Vec<_>>()
    );
    for ((case, spec), number) in cases::specs().into_iter().zip(1..) {
        let mut reader = fixture.db.reader().await.expect("a reader");
        let reference = RevisionReference::Number(number);
        let revision = reader.find_revision(cases::deployment(), reference).await;
        let revision = revision.expect("it is read").expect("it is there");
        assert_eq!(revision.spec, spec, "{case}");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn stored_replies_have_the_golden_texts(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    stored(&fixture, "updated", cases::updated()).await;
    stored(&fixture, "applied", cases::applied()).await;
    stored(&fixture, "promotion", cases::promotions()).await;
    stored(&fixture, "switched_set", cases::switched_sets()).await;
    stored(&fixture, "new_revision", cases::new_revisions()).await;
    stored(&fixture, "rolled_back", cases::roll_backs()).await;
}

async fn stored<T: Reply + std::fmt::Debug>(
    fixture: &Fixture,
    document: &'static str,
    cases: cases::Cases<T>,
) {
    let golden = Golden::read(document);
    for (case, reply) in cases {
        let project = reply.project().to_owned();
        let request = Request {
            id: RequestId(Uuid::now_v7()),
            method: document,
            fingerprint: case.into(),
        };
        let stored = NewReply::of(Some(&request), &reply).expect("it is JSON");
        write(fixture, vec![insert_replies(stored, cases::at(0))]).await;
        let text = format!("SELECT reply AS line FROM replies WHERE method = '{document}'");
        let found = fixture.lines(&text).await;
        assert!(found.iter().any(|it| it == golden.text(case)), "{found:?}");
        let mut reader = fixture.db.reader().await.expect("a reader");
        let found = reader.find_reply::<T>(RequestNamespace::Project(&project), &request);
        let found = found.await.expect("it is read");
        let Some(StoredReply::Same(found)) = found else {
            panic!("{document} has no reply: {case}");
        };
        assert_eq!(format!("{found:?}"), format!("{reply:?}"), "{case}");
    }
}

async fn write(fixture: &Fixture, writes: Vec<Write>) {
    let written: Result<(), crate::StoreError> = fixture
        .db
        .write(async |tx: &mut UnitTransaction| {
            tx.write(writes);
            Ok(())
        })
        .await;
    written.expect("it is written");
}

/// Each case of each column, as a deployment of its own.
fn rows() -> Vec<Row> {
    let (_, plain) = cases::deployments().swap_remove(0);
    let mut rows = Vec::new();
    let mut add_row = |column, case, table, open_entries, deployment| {
        let n = 0x1000 + u128::try_from(rows.len()).expect("a number");
        let deployment = Deployment {
            id: DeploymentId(Uuid::from_u128(n)),
            name: n.to_string(),
            ..deployment
        };
        rows.push(Row {
            column,
            case,
            deployment,
            table,
            open_entries,
        });
    };
    for (case, open) in cases::all_open_entries() {
        add_row(
            "open_entries",
            case,
            TableContent::default(),
            open,
            plain.clone(),
        );
    }
    let mut add = |column, case, table, deployment| {
        add_row(column, case, table, OpenEntries::default(), deployment);
    };
    let plain = || plain.clone();
    for (case, policy) in cases::policies() {
        add(
            "policy",
            case,
            TableContent::default(),
            Deployment { policy, ..plain() },
        );
    }
    for (case, status) in cases::statuses() {
        add(
            "status",
            case,
            TableContent::default(),
            Deployment { status, ..plain() },
        );
    }
    for (case, labels) in cases::all_labels() {
        add(
            "labels",
            case,
            TableContent::default(),
            Deployment { labels, ..plain() },
        );
    }
    for (case, metadata) in cases::all_metadata() {
        add(
            "metadata",
            case,
            TableContent::default(),
            Deployment {
                metadata,
                ..plain()
            },
        );
    }
    for (case, lines) in cases::endpoints() {
        let shares = TableShares::default();
        add("endpoints", case, TableContent { lines, shares }, plain());
    }
    for (case, shares) in cases::all_shares() {
        let lines = Vec::new();
        add("shares", case, TableContent { lines, shares }, plain());
    }
    for (case, last) in cases::last_rollouts() {
        let last_rollout = Some(last);
        add(
            "last_rollout",
            case,
            TableContent::default(),
            Deployment {
                last_rollout,
                ..plain()
            },
        );
    }
    for (case, served) in cases::all_served() {
        add(
            "served",
            case,
            TableContent::default(),
            Deployment { served, ..plain() },
        );
    }
    for (case, rollout) in [cases::rollouts(), cases::canaries()].concat() {
        let state = DeploymentState::Deploying(rollout);
        add(
            "rollout",
            case,
            TableContent::default(),
            Deployment { state, ..plain() },
        );
    }
    rows
}

/// A deployment with the revisions that all of them name, each with a case of its
/// spec.
fn with_revisions() -> Vec<Write> {
    let (_, deployment) = cases::deployments().swap_remove(0);
    // One more than there are cases: it is among those that served.
    let mut specs = cases::specs();
    specs.push(("another", RevisionSpec::default()));
    let specs = specs.into_iter().zip(1u32..);
    let revisions = specs.map(|((_, spec), number)| Revision {
        id: cases::revision(number.into()),
        deployment: cases::deployment(),
        number: number.into(),
        spec,
        created_at: cases::at(0),
        created_by: String::new(),
    });
    vec![
        insert_deployments(vec![idle_state(deployment)]),
        insert_revisions(revisions),
    ]
}

fn endpoint(line: &TableLine) -> TrafficEndpoint {
    TrafficEndpoint {
        route: line.route,
        revision: None,
        address: line.address.clone(),
        ratio: line.ratio,
    }
}

/// A row that is never due and serves nothing.
fn idle_state(deployment: Deployment) -> NewState {
    NewState {
        sequence: deployment.sequence,
        deployment,
        table: TableContent::default(),
        table_commit: None,
        open_entries: OpenEntries::default(),
        due_at: None,
    }
}
