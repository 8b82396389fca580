//! Deployments as text.

use prost_types::Timestamp;
use viridian_proto::v1::{
    Blocker, Deployment, DeploymentAvailability, DeploymentLifecycle, DeploymentProtocol,
    LastRollout, ReplicaCounts,
};

use super::{
    OutputStyle, RevisionNames,
    age::{countdown, since},
    next_step::next_step,
    policy::policy,
    ready::ready,
    split,
};
use crate::{
    enum_names::{self, qualified_name},
    table::{TableColumn, clean, key_values, table},
};

/// One deployment, a line for each fact.
pub(crate) fn one(
    deployment: &Deployment,
    revisions: &RevisionNames,
    style: OutputStyle,
) -> String {
    let mut rows = vec![
        ("Deployment", style.strong(&qualified_name(deployment))),
        ("State", state(deployment, style)),
    ];
    rows.extend(serves(deployment).map(|how| ("Serves", how)));
    if !deployment.blockers.is_empty() {
        rows.push(("Waits for", blockers(&deployment.blockers, style)));
    }
    rows.extend(split::step(deployment).map(|step| ("Step", step)));
    rows.extend(split::shares(deployment).map(|shares| ("Split", shares)));
    rows.extend(next_step(deployment).map(|command| ("Next", command)));
    rows.extend([
        ("Replicas", deployment.target_replicas.to_string()),
        ("Policy", policy(deployment.policy.as_ref())),
    ]);
    rows.extend(protocol(deployment).map(|name| ("Protocol", name.to_owned())));
    rows.extend([
        ("Current", revisions.full(&deployment.current_revision_id)),
        ("Blue", counts(deployment.blue.as_ref())),
    ]);
    if deployment.lifecycle() == DeploymentLifecycle::Deploying {
        rows.extend([
            (
                "Deploying",
                revisions.full(&deployment.deploying_revision_id),
            ),
            ("Green", counts(deployment.green.as_ref())),
        ]);
    }
    if let Some(last) = &deployment.last_rollout {
        rows.push(("Rollout", last_rollout(last, style)));
    }
    rows.extend(labels(deployment).map(|all| ("Labels", all)));
    rows.extend(times(deployment, style));
    rows.extend([
        ("Generation", deployment.generation.to_string()),
        ("Id", deployment.id.clone()),
    ]);
    key_values(rows, style.width)
}

/// All labels, if there are any.
fn labels(deployment: &Deployment) -> Option<String> {
    let labels = deployment.labels.iter();
    let labels: Vec<_> = labels
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    (!labels.is_empty()).then(|| labels.join(", "))
}

/// What its replicas speak; a server of before does not say it.
fn protocol(deployment: &Deployment) -> Option<&'static str> {
    match deployment.protocol() {
        DeploymentProtocol::Unspecified => None,
        protocol => Some(enum_names::protocol(protocol)),
    }
}

/// The timestamps that are set.
fn times(deployment: &Deployment, style: OutputStyle) -> Vec<(&'static str, String)> {
    let ago = |at: &Timestamp| format!("{}, {} ago", time(at), since(at, style.now));
    let ahead = |at: &Timestamp| format!("{}, in {}", time(at), countdown(at, style.now));
    [
        ("Created", deployment.create_time.as_ref().map(ago)),
        ("Promoted", deployment.promote_time.as_ref().map(ago)),
        ("Deadline", deployment.deadline_time.as_ref().map(ahead)),
        (
            "Kept until",
            deployment.retained_until_time.as_ref().map(ahead),
        ),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key, value?)))
    .collect()
}

/// How the last rollout came out and why, and what its first route that failed said.
fn last_rollout(last: &LastRollout, style: OutputStyle) -> String {
    let outcome = enum_names::outcome(last.outcome());
    let end = last.end_time.as_ref();
    let ago = end.map_or_else(String::new, |at| format!(" {} ago", since(at, style.now)));
    let mut text = format!("revision {} {outcome}{ago}", last.revision_number);
    if !last.reason.is_empty() {
        text += &format!(": {}", clean(&last.reason));
    }
    if !last.failure.is_empty() {
        text += &format!("\nfirst failure: {}", style.waiting(&clean(&last.failure)));
    }
    text
}

/// A table of deployments.
pub(crate) fn many(deployments: &[Deployment], style: OutputStyle) -> String {
    let row = |it: &Deployment| {
        vec![
            qualified_name(it),
            style.short_state(it),
            ready(it.blue.as_ref(), it.target_replicas),
            match it.lifecycle() {
                DeploymentLifecycle::Deploying => split::green_in_table(it),
                _ => "-".to_owned(),
            },
            it.blockers.first().map_or_else(
                || "-".to_owned(),
                |first| style.waiting(&clean(&first.message)),
            ),
        ]
    };
    table(
        &[
            TableColumn::name("DEPLOYMENT", MIN_NAME_WIDTH),
            TableColumn::whole("STATE"),
            TableColumn::whole("BLUE"),
            TableColumn::whole("GREEN"),
            TableColumn::text("WAITS FOR", MIN_TEXT_WIDTH),
        ],
        deployments.iter().map(row).collect(),
        style.width,
    )
}

/// The state of a deployment on one line.
pub(crate) fn change(deployment: &Deployment) -> String {
    let target = deployment.target_replicas;
    let mut text = format!(
        "{}{}, blue {}",
        enum_names::state(deployment),
        enum_names::state_remarks(deployment),
        ready(deployment.blue.as_ref(), target)
    );
    if deployment.lifecycle() == DeploymentLifecycle::Deploying {
        text += &format!(", green {}", split::green(deployment));
    }
    text + &waits_for(deployment)
}

/// The same with the numbers of the revisions instead of their colours.
pub(crate) fn change_with_revisions(deployment: &Deployment) -> String {
    let target = deployment.target_replicas;
    let mut text = format!(
        "{}{}",
        enum_names::state(deployment),
        enum_names::state_remarks(deployment)
    );
    for (number, ready) in [
        (
            deployment.current_revision_number,
            ready(deployment.blue.as_ref(), target),
        ),
        (
            deployment.deploying_revision_number,
            split::green(deployment),
        ),
    ] {
        if number > 0 {
            text += &format!(", revision {number} {ready}");
        }
    }
    text + &waits_for(deployment)
}

/// All blockers, as the end of a line: the first one alone does not say that routes fail.
fn waits_for(deployment: &Deployment) -> String {
    let messages = deployment.blockers.iter().map(|it| clean(&it.message));
    match messages.collect::<Vec<_>>().join("; ") {
        none if none.is_empty() => none,
        all => format!(": {all}"),
    }
}

/// A line for each blocker.
pub(crate) fn blockers(blockers: &[Blocker], style: OutputStyle) -> String {
    let line = |it: &Blocker| {
        let until = it.until_time.as_ref().map_or_else(String::new, |at| {
            format!(", for {} at most", countdown(at, style.now))
        });
        let code = enum_names::blocker(it.code());
        format!("{} ({code}{until})", style.waiting(&clean(&it.message)))
    };
    blockers.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn state(deployment: &Deployment, style: OutputStyle) -> String {
    let since = deployment
        .phase_start_time
        .as_ref()
        .map_or_else(String::new, |at| format!(" for {}", since(at, style.now)));
    format!("{}{since}", style.state(deployment))
}

/// How well it serves, if anything is asked of it.
fn serves(deployment: &Deployment) -> Option<String> {
    let name = match deployment.availability() {
        DeploymentAvailability::Unspecified => return None,
        availability => enum_names::availability(availability),
    };
    Some(match deployment.availability() {
        DeploymentAvailability::Degraded => format!("{name}: too few replicas are ready"),
        DeploymentAvailability::Unavailable => format!("{name}: no replica is ready"),
        _ => name.to_owned(),
    })
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
    let is_shown = |&(index, (count, _)): &(usize, (i32, &str))| index < ALWAYS_SHOWN || count > 0;
    let words = named.into_iter().enumerate().filter(is_shown);
    let words: Vec<_> = words
        .map(|(_, (count, what))| format!("{count} {what}"))
        .collect();
    words.join(", ")
}

/// A moment with its date and zone: `2026-01-01 21:44:57 UTC`. Without the fraction, which
/// people do not need here. JSON and YAML have it.
fn time(at: &Timestamp) -> String {
    jiff::Timestamp::new(at.seconds, 0).map_or_else(
        |_| "out of range".to_owned(),
        |it| it.strftime("%F %T UTC").to_string(),
    )
}

/// The first counts are shown also if they are 0.
const ALWAYS_SHOWN: usize = 2;

/// On narrow terminals names and sentences are cut down to these widths.
const MIN_NAME_WIDTH: usize = 12;
const MIN_TEXT_WIDTH: usize = 10;

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Deployment, DeploymentLifecycle, LastRollout, RolloutOutcome};

    use super::{super::fixture, RevisionNames, change, change_with_revisions, many, one};

    #[test]
    fn one_deployment_is_a_line_for_each_fact() {
        let revisions = RevisionNames::new(&fixture::revisions());
        for (name, deployment) in [
            ("one_at_the_gate", fixture::at_the_gate()),
            ("one_provisioning", fixture::provisioning()),
            ("one_canary", fixture::canary()),
            ("one_manual_step", fixture::manual_step()),
        ] {
            let plain = one(&deployment, &revisions, fixture::plain());
            insta::assert_snapshot!(name, plain);
            let coloured = one(&deployment, &revisions, fixture::coloured());
            assert_eq!(console::strip_ansi_codes(&coloured), plain);
            assert_ne!(coloured, plain);
        }
    }

    #[test]
    fn c2_what_failed_is_shown_with_the_reason() {
        let mut deployment = fixture::at_the_gate();
        let mut last = LastRollout {
            revision_number: 2,
            reason: "no green route is left: 2 failed".to_owned(),
            failure: "exit status: 3\u{1b}[2J".to_owned(),
            end_time: fixture::at(180),
            ..LastRollout::default()
        };
        last.set_outcome(RolloutOutcome::RolledBack);
        deployment.last_rollout = Some(last.clone());
        let shown = |it: &Deployment| one(it, &RevisionNames::default(), fixture::plain());
        let text = shown(&deployment);
        assert!(
            text.contains(
                "Rollout     revision 2 ROLLED_BACK 2m ago: no green route is left: 2 failed\n\
                 \u{20}           first failure: exit status: 3"
            ),
            "{text}"
        );
        assert!(
            !text.contains('\u{1b}'),
            "what a route says is text: {text}"
        );
        // A rolling update is on its way back: it turned, and has not ended.
        last.end_time = None;
        last.failure.clear();
        last.set_outcome(RolloutOutcome::Aborted);
        deployment.last_rollout = Some(last);
        let text = shown(&deployment);
        assert!(text.contains("revision 2 ABORTED: no green"), "{text}");
        assert!(!text.contains("first failure"), "{text}");
    }

    #[test]
    fn many_deployments_are_a_line_each() {
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
    fn c7_a_deployment_and_a_list_fit_80_and_60_columns() {
        let revisions = RevisionNames::new(&fixture::revisions());
        let mut deployment = fixture::provisioning();
        deployment.name = "card-authorization-gateway-eu-1".to_owned();
        for width in [80, 60] {
            let style = fixture::narrow(width);
            let shown = one(&deployment, &revisions, style);
            insta::assert_snapshot!(format!("one_{width}"), shown);
            let listed = many(&[deployment.clone(), fixture::at_the_gate()], style);
            insta::assert_snapshot!(format!("many_{width}"), listed);
            let canaries = [fixture::canary(), fixture::manual_step()];
            let canary = one(&canaries[1], &revisions, style);
            insta::assert_snapshot!(format!("one_canary_{width}"), canary);
            let canaries = many(&canaries, style);
            insta::assert_snapshot!(format!("many_canaries_{width}"), canaries);
            for line in canary.lines().chain(canaries.lines()) {
                assert!(console::measure_text_width(line) <= width, "{line}");
            }
            for line in shown.lines().chain(listed.lines()) {
                assert!(console::measure_text_width(line) <= width, "{line}");
            }
        }
    }

    #[test]
    fn a_change_is_on_one_line() {
        assert_eq!(
            change(&fixture::at_the_gate()),
            "DEPLOYING / AWAITING_PROMOTION, blue 3/3, green 3/3: \
             green is ready (3 routes); waiting for someone to promote"
        );
        assert_eq!(
            change(&fixture::manual_step()),
            "DEPLOYING / SHIFTING, blue 3/3, green 1/3 (12.5 of 25 %): \
             step 2 of 3: 25 % to green; waiting for someone to advance it"
        );
        assert_eq!(
            change_with_revisions(&fixture::canary()),
            "DEPLOYING / SHIFTING, revision 1 3/3, revision 2 1/3 (25 %): \
             step 2 of 3: 25 % to green, until 2026-01-01 00:12:00 UTC"
        );
    }
}
