//! Deployments, made to be read.

use prost_types::Timestamp;
use viridian_proto::v1::{
    Blocker, Deployment, DeploymentLifecycle, DeploymentPolicy, IntOrPercent, ReplicaCounts,
    deployment_policy::Strategy, int_or_percent::Value,
};

use crate::{duration, names, output};

/// One deployment, a fact a line.
pub(super) fn one(deployment: &Deployment) -> String {
    let mut rows = vec![
        ("Deployment", qualified_name(deployment)),
        ("Id", deployment.id.clone()),
        ("State", state(deployment)),
    ];
    if !deployment.blockers.is_empty() {
        rows.push(("Waits for", blockers(&deployment.blockers)));
    }
    rows.extend([
        ("Replicas", deployment.target_replicas.to_string()),
        ("Policy", policy(deployment.policy.as_ref())),
        ("Current", or_none(&deployment.current_revision_id)),
        ("Blue", counts(deployment.blue.as_ref())),
    ]);
    if deployment.lifecycle() == DeploymentLifecycle::Deploying {
        rows.extend([
            ("Deploying", deployment.deploying_revision_id.clone()),
            ("Green", counts(deployment.green.as_ref())),
        ]);
    }
    let times = [
        ("Created", deployment.create_time.as_ref()),
        ("Promoted", deployment.promote_time.as_ref()),
        ("Deadline", deployment.deadline_time.as_ref()),
    ];
    for (key, value) in times {
        rows.extend(value.map(|at| (key, time(at))));
    }
    rows.push(("Generation", deployment.generation.to_string()));
    output::key_values(rows)
}

/// Deployments, one a line.
pub(super) fn many(deployments: &[Deployment]) -> String {
    let row = |it: &Deployment| {
        vec![
            qualified_name(it),
            names::state(it),
            ready(it.blue.as_ref(), it.target_replicas),
            match it.lifecycle() {
                DeploymentLifecycle::Deploying => ready(it.green.as_ref(), it.target_replicas),
                _ => "-".to_owned(),
            },
            it.blockers
                .first()
                .map_or_else(|| "-".to_owned(), |first| first.message.clone()),
        ]
    };
    output::table(
        &["DEPLOYMENT", "STATE", "BLUE", "GREEN", "WAITS FOR"],
        deployments.iter().map(row).collect(),
    )
}

/// Where a deployment is, on one line.
pub(super) fn change(deployment: &Deployment) -> String {
    let target = deployment.target_replicas;
    let mut text = format!(
        "{}{}, blue {}",
        names::state(deployment),
        if deployment.paused { ", paused" } else { "" },
        ready(deployment.blue.as_ref(), target)
    );
    if deployment.lifecycle() == DeploymentLifecycle::Deploying {
        text += &format!(", green {}", ready(deployment.green.as_ref(), target));
    }
    if let Some(first) = deployment.blockers.first() {
        text += &format!(": {}", first.message);
    }
    text
}

/// What is waited for, one reason a line.
pub(super) fn blockers(blockers: &[Blocker]) -> String {
    let line = |it: &Blocker| {
        let until = it
            .until_time
            .as_ref()
            .map_or_else(String::new, |at| format!(", until {}", time(at)));
        format!("{} ({}{until})", it.message, names::blocker(it.code()))
    };
    blockers.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn qualified_name(deployment: &Deployment) -> String {
    format!("{}/{}", deployment.project, deployment.name)
}

fn state(deployment: &Deployment) -> String {
    let paused = if deployment.paused { ", paused" } else { "" };
    let since = deployment
        .phase_start_time
        .as_ref()
        .map_or_else(String::new, |at| format!(", since {}", time(at)));
    format!("{}{paused}{since}", names::state(deployment))
}

fn or_none(id: &str) -> String {
    if id.is_empty() {
        "none".to_owned()
    } else {
        id.to_owned()
    }
}

/// `2/3`: how many are ready of how many there ought to be.
fn ready(counts: Option<&ReplicaCounts>, target: i32) -> String {
    format!("{}/{target}", counts.map_or(0, |it| it.ready))
}

fn counts(counts: Option<&ReplicaCounts>) -> String {
    let counts = counts.copied().unwrap_or_default();
    let named = [
        (counts.ready, "ready"),
        (counts.active_traffic, "with traffic"),
        (counts.provisioning, "provisioning"),
        (counts.unhealthy, "unhealthy"),
        (counts.failed, "failed"),
        (counts.retained, "retained"),
    ];
    let said = |&(index, (count, _)): &(usize, (i32, &str))| index < ALWAYS_SAID || count > 0;
    let words = named.into_iter().enumerate().filter(said);
    let words: Vec<_> = words
        .map(|(_, (count, what))| format!("{count} {what}"))
        .collect();
    words.join(", ")
}

fn policy(policy: Option<&DeploymentPolicy>) -> String {
    let Some(policy) = policy else {
        return "default".to_owned();
    };
    let mut words = match &policy.strategy {
        Some(Strategy::BlueGreen(spec)) => {
            let promotes = if spec.auto_promote {
                "automatic"
            } else {
                "manual"
            };
            vec!["blue-green".to_owned(), format!("{promotes} promotion")]
        }
        Some(Strategy::RollingUpdate(spec)) => vec![
            "rolling".to_owned(),
            format!("max surge {}", amount(spec.max_surge.as_ref())),
            format!("max unavailable {}", amount(spec.max_unavailable.as_ref())),
        ],
        None => vec!["default".to_owned()],
    };
    let grace = policy.drain_grace.as_ref();
    words.extend(grace.map(|it| format!("drain grace {}", duration::from_wire(it))));
    words.join(", ")
}

fn amount(amount: Option<&IntOrPercent>) -> String {
    match amount.and_then(|it| it.value) {
        Some(Value::Count(count)) => count.to_string(),
        Some(Value::Percent(percent)) => format!("{percent}%"),
        None => "default".to_owned(),
    }
}

fn time(at: &Timestamp) -> String {
    jiff::Timestamp::new(at.seconds, 0)
        .map_or_else(|_| "out of range".to_owned(), |it| it.to_string())
}

/// How many of the counts are said even when they are 0.
const ALWAYS_SAID: usize = 2;

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;
    use viridian_proto::v1::{
        Blocker, BlockerCode, BlueGreenSpec, Deployment, DeploymentLifecycle, DeploymentPolicy,
        DeploymentSubStep, ReplicaCounts, deployment_policy::Strategy,
    };

    use super::{many, one};

    fn at_the_gate() -> Deployment {
        let at = Timestamp {
            seconds: 1_767_225_600,
            nanos: 5,
        };
        let drain_grace = prost_types::Duration {
            seconds: 5,
            nanos: 0,
        };
        let mut deployment = Deployment {
            id: "d".to_owned(),
            project: "demo".to_owned(),
            name: "hello".to_owned(),
            target_replicas: 3,
            current_revision_id: "one".to_owned(),
            deploying_revision_id: "two".to_owned(),
            policy: Some(DeploymentPolicy {
                strategy: Some(Strategy::BlueGreen(BlueGreenSpec::default())),
                drain_grace: Some(drain_grace),
                ..DeploymentPolicy::default()
            }),
            generation: 2,
            blue: Some(ReplicaCounts {
                ready: 3,
                active_traffic: 3,
                ..ReplicaCounts::default()
            }),
            green: Some(ReplicaCounts {
                ready: 2,
                unhealthy: 1,
                ..ReplicaCounts::default()
            }),
            blockers: vec![Blocker {
                code: BlockerCode::ManualGate.into(),
                message: "someone must promote".to_owned(),
                until_time: None,
            }],
            create_time: Some(at),
            phase_start_time: Some(at),
            ..Deployment::default()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Deploying);
        deployment.set_sub_step(DeploymentSubStep::AwaitingPromotion);
        deployment
    }

    #[test]
    fn one_is_a_fact_a_line() {
        let expected = "\
Deployment  demo/hello
Id          d
State       DEPLOYING / AWAITING_PROMOTION, since 2026-01-01T00:00:00Z
Waits for   someone must promote (MANUAL_GATE)
Replicas    3
Policy      blue-green, manual promotion, drain grace 5s
Current     one
Blue        3 ready, 3 with traffic
Deploying   two
Green       2 ready, 0 with traffic, 1 unhealthy
Created     2026-01-01T00:00:00Z
Generation  2";
        assert_eq!(one(&at_the_gate()), expected);
    }

    #[test]
    fn many_are_one_a_line() {
        let mut idle = Deployment {
            project: "demo".to_owned(),
            name: "idle".to_owned(),
            ..Deployment::default()
        };
        idle.set_lifecycle(DeploymentLifecycle::Pending);
        let expected = "\
DEPLOYMENT  STATE                           BLUE  GREEN  WAITS FOR
demo/hello  DEPLOYING / AWAITING_PROMOTION  3/3   2/3    someone must promote
demo/idle   PENDING                         0/0   -      -";
        assert_eq!(many(&[at_the_gate(), idle]), expected);
    }
}
