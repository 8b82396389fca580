//! The values whose JSON is pinned: each document in each of its shapes.

use std::{collections::BTreeMap, time::Duration};

use uuid::Uuid;
use viridian_strategy::{
    Availability, Blocker, Blockers, BlueGreen, Canary, CanaryProgress, CanaryStep, DeploymentId,
    DeploymentState, GateAction, GateTimeout, IntOrPercent, Policy, ReplicaCounts, RevisionId,
    RevisionWeight, RollingUpdate, Rollout, RolloutKind, RolloutOutcome, RolloutStep, RouteId,
    ServedRevisions, SteadyPeriod, StepPlace, Stopwatch, Strategy, Timestamp, UnreadyRoutes,
};

use crate::{
    Applied, CommitId, Deployment, FieldChange, HealthCheck, LastRollout, Metadata, NewRevision,
    Promotion, Revision, RevisionNumbers, RevisionSpec, RolledBack, RouteEffects, SecretReference,
    Status, SwitchedMember, SwitchedSet, Updated,
    record::{OpenEntries, OpenEntry, OpenKind, Protocol, TableLine, TableShares},
};

/// The cases of one document, each with the name that it has in the golden file.
pub(super) type Cases<T> = Vec<(&'static str, T)>;

pub(super) fn policies() -> Cases<Policy> {
    let blue_green = |spec| Policy {
        strategy: Strategy::BlueGreen(spec),
        ..Policy::default()
    };
    let gate = |action| {
        blue_green(BlueGreen {
            gate_timeout: Some(GateTimeout {
                duration: Duration::from_secs(90),
                action,
            }),
            ..BlueGreen::default()
        })
    };
    let rolling = |max_surge, max_unavailable| Policy {
        strategy: Strategy::Rolling(RollingUpdate {
            max_surge,
            max_unavailable,
        }),
        ..Policy::default()
    };
    let canary = |settings| Policy {
        strategy: Strategy::Canary(settings),
        ..Policy::default()
    };
    vec![
        ("blue-green, defaults", Policy::default()),
        (
            "blue-green, all settings",
            Policy {
                strategy: Strategy::BlueGreen(BlueGreen {
                    auto_promote: true,
                    promote_delay: Duration::from_secs(5),
                    min_ready: Duration::from_millis(1_500),
                    max_replacements: Some(3),
                    ready_threshold: Some(IntOrPercent::Percent(80)),
                    scale_down_delay: Duration::from_secs(30),
                    gate_timeout: Some(GateTimeout {
                        duration: Duration::from_secs(3_600),
                        action: GateAction::Rollback,
                    }),
                }),
                progress_deadline: Duration::from_secs(120),
                drain_grace: Duration::ZERO,
                first_deadline: Some(Duration::from_secs(900)),
                replace_unhealthy_after: Duration::from_secs(300),
            },
        ),
        (
            "blue-green, no replacements",
            blue_green(BlueGreen {
                max_replacements: Some(0),
                ..BlueGreen::default()
            }),
        ),
        ("the gate holds", gate(GateAction::Hold)),
        ("the gate promotes", gate(GateAction::Promote)),
        (
            "rolling, percentages",
            rolling(IntOrPercent::Percent(25), IntOrPercent::Percent(0)),
        ),
        (
            "rolling, counts",
            rolling(IntOrPercent::Count(0), IntOrPercent::Count(2)),
        ),
        (
            "canary",
            canary(Canary {
                steps: vec![
                    CanaryStep {
                        weight_permille: 0,
                        hold: Duration::ZERO,
                        manual: true,
                        replicas: Some(IntOrPercent::Count(2)),
                    },
                    CanaryStep {
                        weight_permille: 255,
                        hold: Duration::from_millis(1_500),
                        manual: false,
                        replicas: Some(IntOrPercent::Percent(50)),
                    },
                ],
                switch: BlueGreen {
                    auto_promote: true,
                    min_ready: Duration::from_secs(3),
                    ..BlueGreen::default()
                },
            }),
        ),
    ]
}

pub(super) fn statuses() -> Cases<Status> {
    let mut cases = vec![
        ("nothing", Status::default()),
        (
            "all counts",
            Status {
                blue: ReplicaCounts {
                    provisioning: 1,
                    ready: 2,
                    unhealthy: 3,
                    failed: 4,
                    active_traffic: 5,
                    retained: 6,
                },
                green: ReplicaCounts {
                    ready: 1,
                    ..ReplicaCounts::default()
                },
                blockers: Blockers::default(),
                retained_until: None,
                effective_permille: 0,
                stale_promoted: 0,
                health_detail: String::new(),
                failure_detail: String::new(),
            },
        ),
        (
            "routes are kept",
            Status {
                retained_until: Some(at(70)),
                ..Status::default()
            },
        ),
        (
            "several blockers",
            blocked(&[Blocker::Paused, Blocker::NoRevision]),
        ),
        (
            "why routes fail",
            Status {
                failure_detail: "exited with status 7".to_owned(),
                ..Status::default()
            },
        ),
        (
            "what health rests on",
            Status {
                stale_promoted: 2,
                health_detail: "GET /nope: 404".to_owned(),
                ..Status::default()
            },
        ),
        (
            "a canary has a share",
            Status {
                effective_permille: 125,
                ..Status::default()
            },
        ),
    ];
    let blockers = blockers().into_iter();
    cases.extend(blockers.map(|(name, blocker)| (name, blocked(&[blocker]))));
    cases
}

fn blocked(blockers: &[Blocker]) -> Status {
    Status {
        blockers: blockers.iter().copied().collect(),
        ..Status::default()
    }
}

fn blockers() -> Cases<Blocker> {
    let unready = UnreadyRoutes {
        unhealthy: Some((1, at(10))),
        degraded: Some((2, at(20))),
        not_checked: None,
    };
    let gate = |action| Blocker::ManualGate {
        ready: 2,
        timeout: Some((at(90), action)),
    };
    vec![
        (
            "green missing",
            Blocker::GreenMissing {
                missing: 1,
                target: 2,
            },
        ),
        (
            "green provisioning",
            Blocker::GreenProvisioning {
                provisioning: 1,
                ready: 2,
                target: 3,
            },
        ),
        (
            "green unhealthy",
            Blocker::GreenUnhealthy {
                ready: 1,
                target: 4,
                unready,
            },
        ),
        (
            "green failed",
            Blocker::GreenFailed {
                failed: 1,
                ready: 2,
                target: 3,
            },
        ),
        (
            "replacements exhausted",
            Blocker::ReplacementsExhausted { budget: 2 },
        ),
        ("min ready", Blocker::MinReady { until: at(30) }),
        (
            "manual gate",
            Blocker::ManualGate {
                ready: 2,
                timeout: None,
            },
        ),
        ("manual gate that holds", gate(GateAction::Hold)),
        ("manual gate that rolls back", gate(GateAction::Rollback)),
        ("manual gate that promotes", gate(GateAction::Promote)),
        ("promote delay", Blocker::PromoteDelay { until: at(40) }),
        ("paused", Blocker::Paused),
        ("no revision", Blocker::NoRevision),
        (
            "routes not ready",
            Blocker::RoutesNotReady {
                ready: 1,
                target: 3,
                provisioning: 1,
                unready: UnreadyRoutes {
                    not_checked: Some((1, at(50))),
                    ..UnreadyRoutes::default()
                },
            },
        ),
        (
            "back-off",
            Blocker::BackOff {
                failures: 3,
                until: at(60),
            },
        ),
        ("evicted", Blocker::Evicted { evicted: 2 }),
        ("terminating", Blocker::Terminating { left: 2 }),
        ("no replicas", Blocker::NoReplicas),
        (
            "no address",
            Blocker::NoAddress {
                count: 2,
                since: at(70),
            },
        ),
        (
            "health stale",
            Blocker::HealthStale {
                count: 1,
                oldest: at(80),
                ttl: Duration::from_secs(30),
            },
        ),
        ("restarting", Blocker::Restarting { left: 2, target: 3 }),
        (
            "step hold",
            Blocker::StepHold {
                place: place(),
                until: at(90),
            },
        ),
        (
            "manual step",
            Blocker::ManualStep {
                place: place(),
                timeout: None,
            },
        ),
        (
            "manual step with a timeout",
            Blocker::ManualStep {
                place: place(),
                timeout: Some((at(95), GateAction::Promote)),
            },
        ),
    ]
}

fn place() -> StepPlace {
    StepPlace {
        step: 2,
        of: 3,
        weight_permille: 250,
    }
}

pub(super) fn rollouts() -> Cases<Rollout> {
    let begun = begun();
    let steady = Some(SteadyPeriod {
        settled_at: at(3),
        watch: running(Duration::ZERO, at(3)),
    });
    let gate = |gate| RolloutStep::AwaitingPromotion { gate };
    vec![
        ("provisioning", begun),
        (
            "provisioning, all ready",
            Rollout {
                best_ready: 2,
                progress: stopped(Duration::from_millis(3_250)),
                steady,
                ..begun
            },
        ),
        (
            "at the gate",
            Rollout {
                step: gate(running(Duration::ZERO, at(4))),
                best_ready: 2,
                progress: stopped(Duration::from_secs(4)),
                steady,
                ..begun
            },
        ),
        (
            "at the gate, paused",
            Rollout {
                step: gate(stopped(Duration::from_secs(7))),
                best_ready: 2,
                progress: stopped(Duration::from_secs(4)),
                steady: Some(SteadyPeriod {
                    settled_at: at(3),
                    watch: stopped(Duration::from_secs(8)),
                }),
                resumed_at: at(1),
                ..begun
            },
        ),
        (
            "rolling back",
            Rollout {
                step: RolloutStep::RollingBack,
                best_ready: 1,
                progress: running(Duration::from_micros(1), at(9)),
                ..begun
            },
        ),
        (
            "of one that was never ready",
            Rollout {
                from_pending: true,
                ..begun
            },
        ),
        (
            "a way back",
            Rollout {
                kind: RolloutKind::Back { gated: false },
                ..begun
            },
        ),
        (
            "a way back with its gates",
            Rollout {
                kind: RolloutKind::Back { gated: true },
                ..begun
            },
        ),
    ]
}

fn begun() -> Rollout {
    Rollout {
        current: revision(1),
        deploying: revision(2),
        kind: RolloutKind::Forward,
        step: RolloutStep::Provisioning,
        from_pending: false,
        activation: 5,
        since: at(0),
        progress: running(Duration::ZERO, at(0)),
        best_ready: 0,
        steady: None,
        resumed_at: at(0),
        canary: CanaryProgress::default(),
    }
}

pub(super) fn canaries() -> Cases<Rollout> {
    let begun = begun();
    vec![
        ("a canary at a step", at_step(begun)),
        (
            "a canary that was advanced",
            Rollout {
                canary: CanaryProgress {
                    towards: 3,
                    hold: None,
                    advanced: true,
                    ..at_step(begun).canary
                },
                ..begun
            },
        ),
    ]
}

/// A canary whose second step is held.
fn at_step(begun: Rollout) -> Rollout {
    Rollout {
        step: RolloutStep::Shifting {
            gate: Some(running(Duration::ZERO, at(6))),
        },
        canary: CanaryProgress {
            step: 2,
            towards: 2,
            weight: Some(250),
            scaled_for: 3,
            shared_at: Some(at(5)),
            hold: Some(running(Duration::ZERO, at(5))),
            advanced: false,
        },
        ..begun
    }
}

/// A deployment, as it is in events and replies.
pub(super) fn deployments() -> Cases<Deployment> {
    let idle = idle();
    let in_state = |state| Deployment {
        state,
        ..idle.clone()
    };
    let current = Some(revision(1));
    let mut cases = vec![
        ("pending, without a revision", idle.clone()),
        ("pending", in_state(DeploymentState::Pending { current })),
        (
            "ready, with all that it may have",
            Deployment {
                labels: labels(),
                metadata: metadata(),
                policy: policies()[1].1.clone(),
                paused: true,
                state: DeploymentState::Ready {
                    current: revision(2),
                },
                served: [revision(3), revision(1)].into_iter().collect(),
                numbers: RevisionNumbers {
                    current: Some(2),
                    deploying: Some(3),
                },
                last_rollout: Some(last_rollouts()[0].1.clone()),
                status: statuses()[3].1.clone(),
                deadline_at: Some(at(600)),
                promoted_at: Some(at(8)),
                restarted: true,
                ..idle.clone()
            },
        ),
        (
            "destroying, without a revision",
            in_state(DeploymentState::Destroying { current: None }),
        ),
        (
            "destroying",
            in_state(DeploymentState::Destroying { current }),
        ),
        (
            "destroyed, without a revision",
            in_state(DeploymentState::Destroyed { current: None }),
        ),
        (
            "destroyed",
            in_state(DeploymentState::Destroyed { current }),
        ),
    ];
    let rollouts = rollouts().into_iter();
    cases.extend(rollouts.map(|(name, it)| (name, in_state(DeploymentState::Deploying(it)))));
    let serving = |availability| Deployment {
        availability: Some(availability),
        ..in_state(DeploymentState::Ready {
            current: revision(1),
        })
    };
    cases.extend([
        ("available", serving(Availability::Available)),
        ("degraded", serving(Availability::Degraded)),
        ("unavailable", serving(Availability::Unavailable)),
        ("idle", serving(Availability::Idle)),
    ]);
    cases.push((
        "pending, its first revision comes up",
        Deployment {
            coming_up: Some(Stopwatch::started(at(5))),
            ..in_state(DeploymentState::Pending { current })
        },
    ));
    let canaries = canaries().into_iter();
    cases.extend(canaries.map(|(name, it)| {
        let deployment = Deployment {
            rollout_number: 4,
            ..in_state(DeploymentState::Deploying(it))
        };
        (name, deployment)
    }));
    let speaking = |protocol| Deployment {
        protocol,
        ..idle.clone()
    };
    cases.extend([
        ("of HTTP/2", speaking(Protocol::Http2)),
        ("of TCP", speaking(Protocol::Tcp)),
    ]);
    // An event has its sequence for itself.
    for ((_, deployment), sequence) in cases.iter_mut().zip(7..) {
        deployment.sequence = sequence;
    }
    cases
}

pub(super) fn last_rollouts() -> Cases<LastRollout> {
    let whole = LastRollout {
        revision: revision(2),
        number: Some(2),
        outcome: RolloutOutcome::RolledBack,
        is_way_back: false,
        reason: "no green route is left: 2 failed".into(),
        failure: "exit status: 3".into(),
        ended_at: Some(at(11)),
    };
    let bare = |outcome| LastRollout {
        number: None,
        outcome,
        reason: String::new(),
        failure: String::new(),
        ended_at: Some(at(11)),
        ..whole.clone()
    };
    vec![
        ("rolled back", whole.clone()),
        (
            "on its way back",
            LastRollout {
                outcome: RolloutOutcome::Aborted,
                ended_at: None,
                ..whole.clone()
            },
        ),
        (
            "a way back",
            LastRollout {
                is_way_back: true,
                ..bare(RolloutOutcome::Promoted)
            },
        ),
        ("promoted", bare(RolloutOutcome::Promoted)),
        ("superseded", bare(RolloutOutcome::Superseded)),
        ("failed", bare(RolloutOutcome::Failed)),
    ]
}

pub(super) fn all_served() -> Cases<ServedRevisions> {
    let served = |numbers: &[u128]| numbers.iter().copied().map(revision).collect();
    vec![("none", served(&[])), ("two", served(&[3, 1]))]
}

pub(super) fn all_metadata() -> Cases<Metadata> {
    vec![
        ("nothing", Metadata::default()),
        ("all settings", metadata()),
    ]
}

pub(super) fn all_labels() -> Cases<BTreeMap<String, String>> {
    vec![("none", BTreeMap::new()), ("some", labels())]
}

pub(super) fn all_open_entries() -> Cases<OpenEntries> {
    let entry = |kind| OpenEntry {
        kind,
        number: 4,
        revision: Some(revision(1)),
        attempts: 2,
        count: 5,
        effects: RouteEffects {
            created: 1,
            promoted: 2,
            drained: 3,
        },
        at: at(9),
    };
    let waiting = OpenEntry {
        revision: None,
        count: 0,
        effects: RouteEffects::default(),
        ..entry(OpenKind::Waiting)
    };
    vec![
        ("a wait", OpenEntries(vec![waiting])),
        (
            "a crash loop",
            OpenEntries(vec![
                entry(OpenKind::RouteFailed),
                entry(OpenKind::RouteReplaced),
            ]),
        ),
        (
            "what hung",
            OpenEntries(vec![entry(OpenKind::HungReplaced)]),
        ),
    ]
}

pub(super) fn endpoints() -> Cases<Vec<TableLine>> {
    let endpoint = |n, ratio| TableLine {
        route: route(n),
        address: format!("10.0.0.{n}:8080"),
        ratio,
    };
    vec![
        ("none", Vec::new()),
        ("two", vec![endpoint(1, 1.0), endpoint(2, 0.5)]),
    ]
}

pub(super) fn all_shares() -> Cases<TableShares> {
    let weight = |n, permille| RevisionWeight {
        revision: revision(n),
        permille,
    };
    vec![(
        "weights",
        TableShares {
            weights: vec![weight(1, 875), weight(2, 125)],
        },
    )]
}

pub(super) fn specs() -> Cases<RevisionSpec> {
    vec![
        ("defaults", RevisionSpec::default()),
        ("all settings", spec()),
        ("a secret", with_secret()),
    ]
}

pub(super) fn updated() -> Cases<Updated> {
    vec![("a deployment", Updated { deployment: idle() })]
}

pub(super) fn promotions() -> Cases<Promotion> {
    vec![(
        "a promotion",
        Promotion {
            swapped: 1,
            deployment: idle(),
            promoted: vec![route(3), route(4)],
            drained: vec![route(1)],
        },
    )]
}

pub(super) fn switched_sets() -> Cases<SwitchedSet> {
    let member = |deployment, promoted, drained| SwitchedMember {
        deployment,
        promoted,
        drained,
    };
    let another = Deployment {
        id: another_deployment(),
        project: "another".into(),
        ..idle()
    };
    vec![(
        "two of two projects",
        SwitchedSet {
            commit: CommitId(Uuid::from_u128(0xc0)),
            members: vec![
                member(idle(), vec![route(3), route(4)], vec![route(1)]),
                member(another, vec![route(5)], Vec::new()),
            ],
        },
    )]
}

pub(super) fn another_deployment() -> DeploymentId {
    DeploymentId(Uuid::from_u128(0xe))
}

pub(super) fn new_revisions() -> Cases<NewRevision> {
    vec![(
        "a revision",
        NewRevision {
            deployment: idle(),
            revision: first_revision(),
        },
    )]
}

fn first_revision() -> Revision {
    Revision {
        id: revision(1),
        deployment: deployment(),
        number: 1,
        spec: spec(),
        created_at: at(1),
        created_by: "ci".into(),
    }
}

pub(super) fn applied() -> Cases<Applied> {
    let nothing = Applied {
        deployment: idle(),
        changes: Vec::new(),
        revision: None,
        created: false,
        activated: false,
        aborted: false,
    };
    vec![
        ("nothing was to be done", nothing.clone()),
        (
            "a deployment with its first revision",
            Applied {
                changes: changes()[0].1.clone(),
                revision: Some(first_revision()),
                created: true,
                activated: true,
                ..nothing.clone()
            },
        ),
        (
            "an abort",
            Applied {
                revision: Some(first_revision()),
                aborted: true,
                ..nothing
            },
        ),
    ]
}

pub(super) fn changes() -> Cases<Vec<FieldChange>> {
    let change = |path: &str, old: &str, new: &str| FieldChange {
        path: path.into(),
        old_value: old.into(),
        new_value: new.into(),
    };
    vec![
        (
            "some",
            vec![
                change("labels.tier", "", "web"),
                change("target_replicas", "1", "2"),
            ],
        ),
        ("none", Vec::new()),
    ]
}

pub(super) fn roll_backs() -> Cases<RolledBack> {
    let rolled_back = |instant, kept| RolledBack {
        deployment: idle(),
        instant,
        kept,
    };
    vec![
        ("at once", rolled_back(true, vec![route(1), route(2)])),
        ("by a rollout", rolled_back(false, Vec::new())),
    ]
}

fn idle() -> Deployment {
    Deployment {
        id: deployment(),
        project: "p".into(),
        name: "d".into(),
        labels: BTreeMap::new(),
        metadata: Metadata::default(),
        target_replicas: 2,
        policy: policies()[2].1.clone(),
        revision_history_limit: 10,
        protocol: Protocol::default(),
        paused: false,
        state: DeploymentState::Pending { current: None },
        last_activation: 5,
        current_activation: 4,
        rollout_number: 0,
        numbers: RevisionNumbers::default(),
        served: ServedRevisions::default(),
        last_rollout: None,
        generation: 3,
        sequence: 7,
        epoch: 2,
        status: Status::default(),
        availability: None,
        created_at: at(0),
        updated_at: at(8),
        phase_started_at: at(5),
        deadline_at: None,
        promoted_at: None,
        coming_up: None,
        restarted: false,
        last_revision: 2,
        last_history: 4,
    }
}

fn metadata() -> Metadata {
    Metadata {
        domain: "default".into(),
        resource_group: "gpu".into(),
        created_user: "ann".into(),
        session_owner: "bob".into(),
    }
}

fn labels() -> BTreeMap<String, String> {
    let label = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let labels = [("env", "prod"), ("note", "\"ä\"\n\u{1}\\/"), ("team", "")];
    labels.map(label).into()
}

fn with_secret() -> RevisionSpec {
    let reference = SecretReference {
        secret: "db".into(),
        key: "password".into(),
    };
    RevisionSpec {
        environ_from: [("DB_PASSWORD".to_owned(), reference)].into(),
        ..spec()
    }
}

fn spec() -> RevisionSpec {
    let pair = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    RevisionSpec {
        image: "registry.example/app:2".into(),
        command: vec!["serve".into(), "--port".into()],
        model: "m".into(),
        runtime_variant: "vllm".into(),
        environ: pair("KEY", "value"),
        resource_slots: pair("cpu", "2"),
        health_check: HealthCheck {
            path: "/healthz".into(),
            interval: Duration::from_secs(3),
            timeout: Duration::from_millis(500),
            initial_delay: Duration::from_secs(1),
        },
        environ_from: BTreeMap::new(),
    }
}

pub(super) fn deployment() -> DeploymentId {
    DeploymentId(Uuid::from_u128(0xd))
}

pub(super) fn revision(n: u128) -> RevisionId {
    RevisionId(Uuid::from_u128(0xe00 + n))
}

fn route(n: u128) -> RouteId {
    RouteId(Uuid::from_u128(0xf00 + n))
}

fn running(spent: Duration, since: Timestamp) -> Stopwatch {
    Stopwatch {
        spent,
        since: Some(since),
    }
}

fn stopped(spent: Duration) -> Stopwatch {
    Stopwatch { spent, since: None }
}

/// Some seconds past a fixed time.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_795_000_000 + seconds) * 1_000_000 + 123_456)
}
