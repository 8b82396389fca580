//! Deployments, made to be read.

use prost_types::Timestamp;
use viridian_proto::v1::{Blocker, Deployment, DeploymentLifecycle, ReplicaCounts};

use super::{
    Look, Revisions,
    age::{countdown, since},
    next::next,
    policy::policy,
};
use crate::{
    names,
    table::{clean, key_values, table},
};

/// One deployment, a fact a line.
pub(crate) fn one(deployment: &Deployment, revisions: &Revisions, look: Look) -> String {
    let mut rows = vec![
        ("Deployment", look.strong(&qualified_name(deployment))),
        ("State", state(deployment, look)),
    ];
    if !deployment.blockers.is_empty() {
        rows.push(("Waits for", blockers(&deployment.blockers, look)));
    }
    rows.extend(next(deployment).map(|command| ("Next", command)));
    rows.extend([
        ("Replicas", deployment.target_replicas.to_string()),
        ("Policy", policy(deployment.policy.as_ref())),
        ("Current", revisions.name(&deployment.current_revision_id)),
        ("Blue", counts(deployment.blue.as_ref())),
    ]);
    if deployment.lifecycle() == DeploymentLifecycle::Deploying {
        rows.extend([
            (
                "Deploying",
                revisions.name(&deployment.deploying_revision_id),
            ),
            ("Green", counts(deployment.green.as_ref())),
        ]);
    }
    if !deployment.labels.is_empty() {
        let labels = deployment.labels.iter();
        let labels: Vec<_> = labels
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        rows.push(("Labels", labels.join(", ")));
    }
    let ago = |at: &Timestamp| format!("{}, {} ago", time(at), since(at, look.now));
    let ahead = |at: &Timestamp| format!("{}, in {}", time(at), countdown(at, look.now));
    let times = [
        ("Created", deployment.create_time.as_ref().map(ago)),
        ("Promoted", deployment.promote_time.as_ref().map(ago)),
        ("Deadline", deployment.deadline_time.as_ref().map(ahead)),
    ];
    for (key, value) in times {
        rows.extend(value.map(|text| (key, text)));
    }
    rows.extend([
        ("Generation", deployment.generation.to_string()),
        ("Id", deployment.id.clone()),
    ]);
    key_values(rows)
}

/// Deployments, one a line.
pub(crate) fn many(deployments: &[Deployment], look: Look) -> String {
    let row = |it: &Deployment| {
        vec![
            qualified_name(it),
            look.state(it),
            ready(it.blue.as_ref(), it.target_replicas),
            match it.lifecycle() {
                DeploymentLifecycle::Deploying => ready(it.green.as_ref(), it.target_replicas),
                _ => "-".to_owned(),
            },
            it.blockers.first().map_or_else(
                || "-".to_owned(),
                |first| look.waits(&clean(&first.message)),
            ),
        ]
    };
    table(
        &["DEPLOYMENT", "STATE", "BLUE", "GREEN", "WAITS FOR"],
        deployments.iter().map(row).collect(),
    )
}

/// Where a deployment is, on one line.
pub(crate) fn change(deployment: &Deployment) -> String {
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
        text += &format!(": {}", clean(&first.message));
    }
    text
}

/// What is waited for, one reason a line.
pub(crate) fn blockers(blockers: &[Blocker], look: Look) -> String {
    let line = |it: &Blocker| {
        let until = it.until_time.as_ref().map_or_else(String::new, |at| {
            format!(", for {} at most", countdown(at, look.now))
        });
        let code = names::blocker(it.code());
        format!("{} ({code}{until})", look.waits(&clean(&it.message)))
    };
    blockers.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `PROJECT/NAME`.
pub(crate) fn qualified_name(deployment: &Deployment) -> String {
    format!("{}/{}", deployment.project, deployment.name)
}

fn state(deployment: &Deployment, look: Look) -> String {
    let since = deployment
        .phase_start_time
        .as_ref()
        .map_or_else(String::new, |at| format!(" for {}", since(at, look.now)));
    format!("{}{since}", look.state(deployment))
}

/// `2/3`: how many are ready of how many there ought to be.
pub(crate) fn ready(counts: Option<&ReplicaCounts>, target: i32) -> String {
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

fn time(at: &Timestamp) -> String {
    jiff::Timestamp::new(at.seconds, 0)
        .map_or_else(|_| "out of range".to_owned(), |it| it.to_string())
}

/// How many of the counts are said even when they are 0.
const ALWAYS_SAID: usize = 2;

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Deployment, DeploymentLifecycle};

    use super::{super::fixture, Revisions, change, many, one};

    #[test]
    fn one_is_a_fact_a_line() {
        let revisions = Revisions::new(&fixture::revisions());
        for (name, deployment) in [
            ("one_at_the_gate", fixture::at_the_gate()),
            ("one_provisioning", fixture::provisioning()),
        ] {
            let plain = one(&deployment, &revisions, fixture::plain());
            insta::assert_snapshot!(name, plain);
            let coloured = one(&deployment, &revisions, fixture::coloured());
            assert_eq!(console::strip_ansi_codes(&coloured), plain);
            assert_ne!(coloured, plain);
        }
    }

    #[test]
    fn many_are_one_a_line() {
        let mut idle = Deployment {
            project: "demo".to_owned(),
            name: "idle".to_owned(),
            paused: true,
            ..Deployment::default()
        };
        idle.set_lifecycle(DeploymentLifecycle::Pending);
        let deployments = [fixture::at_the_gate(), idle];
        let plain = many(&deployments, fixture::plain());
        insta::assert_snapshot!("many", plain);
        let coloured = many(&deployments, fixture::coloured());
        assert_eq!(console::strip_ansi_codes(&coloured), plain);
    }

    #[test]
    fn a_change_is_on_one_line() {
        assert_eq!(
            change(&fixture::at_the_gate()),
            "DEPLOYING / AWAITING_PROMOTION, blue 3/3, green 3/3: \
             green is ready (3 routes); waiting for someone to promote"
        );
    }
}
