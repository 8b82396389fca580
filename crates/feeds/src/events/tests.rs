use std::sync::Arc;

use uuid::Uuid;
use viridian_store::{Deployment, Event, EventKind, Metadata, Protocol, RevisionNumbers, Status};
use viridian_strategy::{DeploymentId, Policy, ServedRevisions, Timestamp, verbs};

use super::{
    event::CommittedEvent,
    hub::{EventHub, EventTopic},
    mailbox::{Mail, WatchLag},
};

const ID: DeploymentId = DeploymentId(Uuid::from_u128(7));

fn event(position: i64, project: &str) -> Arc<CommittedEvent> {
    let at = Timestamp::from_micros(0);
    let deployment = Deployment {
        id: ID,
        project: project.to_owned(),
        name: "web".to_owned(),
        labels: [].into(),
        metadata: Metadata::default(),
        target_replicas: 0,
        policy: Policy::default(),
        revision_history_limit: 10,
        protocol: Protocol::default(),
        paused: false,
        state: verbs::create(None, 0).deployment.state,
        last_activation: 0,
        current_activation: 0,
        rollout_number: 1,
        numbers: RevisionNumbers::default(),
        served: ServedRevisions::default(),
        last_rollout: None,
        generation: 1,
        sequence: position,
        epoch: 0,
        status: Status::default(),
        availability: None,
        created_at: at,
        updated_at: at,
        phase_started_at: at,
        deadline_at: None,
        promoted_at: None,
        coming_up: None,
        restarted: false,
        last_revision: 0,
        last_history: 1,
    };
    let kind = EventKind::Updated;
    Arc::new(CommittedEvent {
        position,
        event: Event {
            kind,
            deployment,
            commit: None,
        },
    })
}

fn positions(mail: &Mail) -> Vec<i64> {
    mail.events.iter().map(|event| event.position).collect()
}

fn project(name: &str) -> Vec<EventTopic> {
    vec![EventTopic::Project(name.to_owned())]
}

fn hub() -> Arc<EventHub> {
    let hub = Arc::new(EventHub::new(2, Arc::default()));
    hub.publish(&[], 10);
    hub
}

#[test]
fn a_subscriber_gets_what_it_subscribed_to() {
    let hub = hub();
    let of_project = hub.subscribe(project("p"));
    let of_other = hub.subscribe(project("q"));
    let of_deployment = hub.subscribe(vec![EventTopic::Deployment(ID)]);
    hub.begin_page();
    hub.publish(&[event(11, "p")], 12);
    assert_eq!(positions(&of_project.take()), [11]);
    assert_eq!(positions(&of_deployment.take()), [11]);
    assert_eq!(positions(&of_other.take()), [] as [i64; 0]);
    assert_eq!(hub.stable(), Some(12));
}

#[test]
fn what_has_no_room_is_read_from_the_log() {
    let hub = hub();
    let slow = hub.subscribe(project("p"));
    hub.begin_page();
    hub.publish(&[event(11, "p"), event(12, "p"), event(13, "p")], 13);
    assert!(slow.is_full());
    hub.publish(&[event(14, "p")], 14);
    let lag = WatchLag {
        watches: 1,
        overflowed: 1,
        max_events: 4,
    };
    assert_eq!(hub.lag(), lag);
    let mail = slow.take();
    assert_eq!(positions(&mail), [11, 12]);
    assert_eq!(mail.lagged_at, Some(12));
    assert!(!slow.is_full());
    hub.publish(&[event(15, "p")], 15);
    assert_eq!(positions(&slow.take()), [15]);
}

#[test]
fn one_that_subscribes_while_the_log_is_read_reads_it_itself() {
    let hub = hub();
    hub.begin_page();
    let late = hub.subscribe(project("p"));
    hub.publish(&[], 12);
    assert_eq!(late.take().lagged_at, Some(0));
    hub.begin_page();
    hub.publish(&[event(13, "p")], 13);
    assert_eq!(positions(&late.take()), [13]);
}

#[test]
fn without_the_past_every_subscriber_reads_the_log_itself() {
    let hub = hub();
    let one = hub.subscribe(project("p"));
    hub.begin_page();
    hub.skip_to(20);
    let mail = one.take();
    assert_eq!((mail.lagged_at, hub.stable()), (Some(10), Some(20)));
    assert!(!one.is_full(), "it is not slow");
}

#[test]
fn nothing_is_known_without_subscribers() {
    let hub = hub();
    let one = hub.subscribe(project("p"));
    assert!(!hub.is_idle());
    drop(one);
    assert!(hub.is_idle());
    assert_eq!(hub.stable(), None);
    assert!(!hub.begin_page());
}
