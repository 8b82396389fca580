//! Updates: which fields change, and to what.

use viridian_proto::v1::{self, deployment_policy::Strategy};
use viridian_store::DeploymentUpdate;
use viridian_strategy::MAX_REPLICAS;

use super::{
    Violations,
    deployment::{parse_history_limit, parse_labels},
    policy::{BLUE_GREEN, PATHS, ROLLING_UPDATE, STRATEGIES, parse_patch},
};

/// Which fields of a request count.
#[derive(Debug)]
pub(crate) enum Mask {
    /// All of them.
    All,
    /// Those that were named, and what is below them.
    Named(Vec<String>),
    /// Nobody named any: those that are set.
    Set(Vec<&'static str>),
}

/// An update from the wire. A field that the mask names and that is not set gets
/// its default; one that the mask does not name is not even looked at.
pub(crate) fn parse_update(
    wire: &v1::UpdateDeploymentRequest,
    violations: &mut Violations,
) -> DeploymentUpdate {
    let mask = parse_mask(wire, violations);
    DeploymentUpdate {
        target_replicas: mask
            .covers("target_replicas")
            .then(|| violations.within("target_replicas", wire.target_replicas, 0, MAX_REPLICAS)),
        policy: parse_patch(wire.policy.as_ref(), &mask, violations),
        labels: mask
            .covers("labels")
            .then(|| parse_labels(&wire.labels, violations)),
        revision_history_limit: mask
            .covers("revision_history_limit")
            .then(|| parse_history_limit(wire.revision_history_limit, violations)),
    }
}

impl Mask {
    /// Whether a field changes: it is named itself, or what it is part of.
    pub(crate) fn covers(&self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(paths) => paths.iter().any(|named| is_within(path, named)),
            // A strategy that is set is the one to have; its settings are set, or not,
            // one by one.
            Self::Set(paths) => paths
                .iter()
                .any(|set| path == *set || !STRATEGIES.contains(set) && is_within(path, set)),
        }
    }

    /// Whether a field below this one is named.
    pub(crate) fn reaches_into(&self, path: &str) -> bool {
        match self {
            Self::All | Self::Set(_) => false,
            Self::Named(paths) => paths
                .iter()
                .any(|named| named != path && is_within(named, path)),
        }
    }
}

fn parse_mask(wire: &v1::UpdateDeploymentRequest, violations: &mut Violations) -> Mask {
    let paths = wire
        .update_mask
        .as_ref()
        .map_or(&[][..], |mask| &mask.paths);
    if paths.is_empty() {
        let set = set_fields(wire);
        violations.check(
            !set.is_empty(),
            "update_mask",
            "must name what changes, since no field is set",
        );
        return Mask::Set(set);
    }
    violations.count("update_mask.paths", paths.len(), MAX_PATHS);
    let paths = &paths[..paths.len().min(MAX_PATHS)];
    for (index, path) in paths.iter().enumerate() {
        let known =
            path == ALL || FIELDS.contains(&path.as_str()) || PATHS.contains(&path.as_str());
        let field = format!("update_mask.paths[{index}]");
        violations.check(
            known,
            &field,
            "must be \"*\", target_replicas, policy or a field below it, labels or \
             revision_history_limit",
        );
        violations.check(
            fits_strategy(path, paths, wire.policy.as_ref()),
            &field,
            "names another strategy than the policy or the rest of the mask",
        );
    }
    if paths.iter().any(|path| path == ALL) {
        Mask::All
    } else {
        Mask::Named(paths.to_vec())
    }
}

/// Whether a path into one strategy stands beside nothing of the other: neither
/// among the paths nor as the value.
fn fits_strategy(path: &str, paths: &[String], policy: Option<&v1::DeploymentPolicy>) -> bool {
    let other = if is_within(path, BLUE_GREEN) {
        ROLLING_UPDATE
    } else if is_within(path, ROLLING_UPDATE) {
        BLUE_GREEN
    } else {
        return true;
    };
    let value = match policy.and_then(|policy| policy.strategy.as_ref()) {
        Some(Strategy::BlueGreen(_)) => BLUE_GREEN,
        Some(Strategy::RollingUpdate(_)) => ROLLING_UPDATE,
        None => "",
    };
    value != other && !paths.iter().any(|path| is_within(path, other))
}

/// The fields that are set, the leaves of the policy one by one.
fn set_fields(wire: &v1::UpdateDeploymentRequest) -> Vec<&'static str> {
    let mut set = Vec::new();
    let mut note = |is_set: bool, path| {
        if is_set {
            set.push(path);
        }
    };
    note(wire.target_replicas != 0, "target_replicas");
    note(!wire.labels.is_empty(), "labels");
    note(wire.revision_history_limit != 0, "revision_history_limit");
    let Some(policy) = &wire.policy else {
        return set;
    };
    note(
        policy.progress_deadline.is_some(),
        "policy.progress_deadline",
    );
    note(policy.drain_grace.is_some(), "policy.drain_grace");
    match &policy.strategy {
        Some(Strategy::BlueGreen(spec)) => {
            note(true, BLUE_GREEN);
            note(spec.auto_promote, "policy.blue_green.auto_promote");
            note(
                spec.promote_delay.is_some(),
                "policy.blue_green.promote_delay",
            );
            note(spec.min_ready.is_some(), "policy.blue_green.min_ready");
            note(
                spec.max_replacements != 0,
                "policy.blue_green.max_replacements",
            );
            note(
                spec.scale_down_delay.is_some(),
                "policy.blue_green.scale_down_delay",
            );
            note(
                spec.gate_timeout.is_some(),
                "policy.blue_green.gate_timeout",
            );
        }
        Some(Strategy::RollingUpdate(spec)) => {
            note(true, ROLLING_UPDATE);
            note(spec.max_surge.is_some(), "policy.rolling_update.max_surge");
            note(
                spec.max_unavailable.is_some(),
                "policy.rolling_update.max_unavailable",
            );
        }
        None => {}
    }
    set
}

fn is_within(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Far more than there are fields.
const MAX_PATHS: usize = 100;
const ALL: &str = "*";
const FIELDS: [&str; 3] = ["target_replicas", "labels", "revision_history_limit"];
