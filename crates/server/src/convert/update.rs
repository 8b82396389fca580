//! Updates: which fields change, and to what.
//!
//! An update is merged into what is asked of the deployment as a message: the present
//! spec is written as the fields of a request, those that the mask names are replaced,
//! and the whole is parsed again. So a setting needs no code here.

use std::time::Duration;

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _};
use viridian_proto::v1;
use viridian_store::{DeploymentSpec, Protocol, SpecChange};
use viridian_strategy::{
    BlueGreen, GateAction, GateTimeout, IntOrPercent, MAX_REPLICAS, Policy, RollingUpdate, Strategy,
};

use super::{
    Violations,
    changes::FlatSettings,
    deployment::{parse_history_limit, parse_labels},
    mask::{FieldPath, MergeConflict, MessageMask, descriptor},
    policy::{parse_policy, policy},
    protocol::{parse_protocol, protocol},
};

/// An update that is right by itself.
#[derive(Clone, Debug)]
pub(crate) struct SpecUpdate {
    mask: MessageMask,
    request: DynamicMessage,
}

/// Why an update does not fit the spec that there is.
#[derive(Debug)]
pub(crate) enum SpecConflict {
    /// It names a part of what is not there.
    Merge(MergeConflict),
    /// Together with the settings that it leaves alone it breaks rules.
    Invalid(Violations),
}

/// An update from the wire. A field that the mask names and that is not set gets its
/// default; one that the mask does not name is not even looked at.
pub(crate) fn parse_update(
    wire: &v1::UpdateDeploymentRequest,
    violations: &mut Violations,
) -> SpecUpdate {
    let request = dynamic(wire);
    let mask = parse_mask(wire, &request, violations);
    checked(SpecUpdate { mask, request }, violations)
}

/// The settings of an apply from the wire: those that it sets, and those that get their
/// default.
pub(crate) fn parse_settings(
    wire: &v1::ApplyDeploymentRequest,
    violations: &mut Violations,
) -> SpecUpdate {
    let request = dynamic(&v1::UpdateDeploymentRequest {
        target_replicas: wire.target_replicas.unwrap_or_default(),
        policy: wire.policy.clone(),
        labels: wire.labels.clone(),
        revision_history_limit: wire.revision_history_limit.unwrap_or_default(),
        protocol: wire.protocol,
        ..v1::UpdateDeploymentRequest::default()
    });
    let mut mask = MessageMask::implied(&request, updatable_fields(&request));
    // As part of an update a number has no presence: a zero that was set is named instead.
    for (name, value) in [
        ("target_replicas", wire.target_replicas),
        ("revision_history_limit", wire.revision_history_limit),
    ] {
        if value == Some(0) {
            mask.extend(find_path(name, &request));
        }
    }
    mask.extend(parse_resets(wire, &request, &mask, violations));
    checked(SpecUpdate { mask, request }, violations)
}

/// The fields of an apply that get their default.
fn parse_resets(
    wire: &v1::ApplyDeploymentRequest,
    request: &DynamicMessage,
    set: &MessageMask,
    violations: &mut Violations,
) -> Vec<FieldPath> {
    let paths = wire.reset_mask.as_ref().map_or(&[][..], |it| &it.paths);
    violations.count("reset_mask.paths", paths.len(), MAX_PATHS);
    let paths = &paths[..paths.len().min(MAX_PATHS)];
    let mut found = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let field = format!("reset_mask.paths[{index}]");
        match find_path(path, request) {
            None => violations.add(
                field,
                "must be target_replicas, policy or a field below it, labels, \
                 revision_history_limit or protocol",
            ),
            Some(path) if path.contradicts(request, &found) => violations.add(
                field,
                "names another strategy than the policy or the rest of the mask",
            ),
            Some(path) if set.overlaps(&path) => {
                violations.add(field, "names a setting that is set, too");
            }
            Some(path) => found.push(path),
        }
    }
    found
}

/// An update whose own mistakes are among the violations.
fn checked(update: SpecUpdate, violations: &mut Violations) -> SpecUpdate {
    // Into a spec that breaks no rule, so that whatever is wrong comes from the request.
    let mut sample = dynamic(&request_of(&sample(&update)));
    if update.mask.merge(&mut sample, &update.request).is_ok() {
        parse_spec(&sample, violations);
    }
    update
}

impl SpecUpdate {
    /// The spec with the update, and how it differs from the present one.
    pub(crate) fn apply(&self, present: &DeploymentSpec) -> Result<SpecChange, SpecConflict> {
        self.apply_with(present, Violations::default())
    }

    /// The same, where something else may be wrong.
    pub(crate) fn apply_with(
        &self,
        present: &DeploymentSpec,
        mut violations: Violations,
    ) -> Result<SpecChange, SpecConflict> {
        let mut merged = dynamic(&request_of(present));
        self.mask
            .merge(&mut merged, &self.request)
            .map_err(SpecConflict::Merge)?;
        // Each side may be valid and the whole not: max_surge of the
        // request and max_unavailable of the record may both be zero.
        let spec = parse_spec(&merged, &mut violations);
        if !violations.is_empty() {
            return Err(SpecConflict::Invalid(violations));
        }
        let mut flat = [FlatSettings::default(), FlatSettings::default()];
        add_settings(present, &mut flat[0]);
        add_settings(&spec, &mut flat[1]);
        let changes = flat[0].changes_to(&flat[1]);
        Ok(SpecChange { spec, changes })
    }
}

/// Adds the settings of a spec by their paths.
pub(crate) fn add_settings(spec: &DeploymentSpec, flat: &mut FlatSettings) {
    let request = dynamic(&request_of(spec));
    for field in updatable_fields(&request) {
        flat.add_field(&request, &field, field.name());
    }
}

fn parse_mask(
    wire: &v1::UpdateDeploymentRequest,
    request: &DynamicMessage,
    violations: &mut Violations,
) -> MessageMask {
    let paths = wire
        .update_mask
        .as_ref()
        .map_or(&[][..], |mask| &mask.paths);
    if paths.is_empty() {
        let mask = MessageMask::implied(request, updatable_fields(request));
        violations.check(
            !mask.is_empty(),
            "update_mask",
            "must name what changes, since no field is set",
        );
        return mask;
    }
    violations.count("update_mask.paths", paths.len(), MAX_PATHS);
    let paths = &paths[..paths.len().min(MAX_PATHS)];
    let found: Vec<_> = paths.iter().map(|path| find_path(path, request)).collect();
    let known: Vec<FieldPath> = found.iter().flatten().cloned().collect();
    let mut good = Vec::new();
    for (index, path) in found.into_iter().enumerate() {
        let field = format!("update_mask.paths[{index}]");
        match path {
            None if paths[index] == ALL => {}
            None => violations.add(
                field,
                "must be \"*\", target_replicas, policy or a field below it, labels, \
                 revision_history_limit or protocol",
            ),
            Some(path) if path.contradicts(request, &known) => violations.add(
                field,
                "names another strategy than the policy or the rest of the mask",
            ),
            Some(path) if path.lacks_value(request, &known) => {
                violations.add(path.to_string(), "must be set, since the mask names it");
            }
            Some(path) => good.push(path),
        }
    }
    // `*` covers all other paths. Wrong ones beside it were reported above all the same.
    if paths.iter().any(|path| path == ALL) {
        let fields = updatable_fields(request);
        good = fields.map(FieldPath::of).collect();
    }
    MessageMask::named(&good)
}

fn find_path(path: &str, request: &DynamicMessage) -> Option<FieldPath> {
    FieldPath::find(&request.descriptor(), path).filter(|it| it.top().is_some_and(is_updatable))
}

fn updatable_fields(request: &DynamicMessage) -> impl Iterator<Item = FieldDescriptor> + use<> {
    let fields: Vec<_> = request.descriptor().fields().collect();
    fields.into_iter().filter(is_updatable)
}

/// Whether a field of the request is part of the spec.
fn is_updatable(field: &FieldDescriptor) -> bool {
    !ENVELOPE.contains(&field.name())
}

/// A spec with every setting of the strategy that an update is for, none of which is
/// wrong whatever the others are.
fn sample(update: &SpecUpdate) -> DeploymentSpec {
    let rolling = FieldPath::find(&update.request.descriptor(), "policy.rolling_update");
    let is_rolling = rolling.is_some_and(|path| update.mask.leads_into(&path));
    let strategy = if is_rolling {
        Strategy::Rolling(RollingUpdate {
            max_surge: IntOrPercent::Count(1),
            max_unavailable: IntOrPercent::Count(1),
        })
    } else {
        Strategy::BlueGreen(BlueGreen {
            gate_timeout: Some(GateTimeout {
                duration: Duration::from_secs(1),
                action: GateAction::Hold,
            }),
            ..BlueGreen::default()
        })
    };
    DeploymentSpec {
        target_replicas: 1,
        policy: Policy {
            strategy,
            ..Policy::default()
        },
        labels: [].into(),
        revision_history_limit: 1,
        protocol: Protocol::default(),
    }
}

/// A spec, as the fields of a request.
fn request_of(spec: &DeploymentSpec) -> v1::UpdateDeploymentRequest {
    v1::UpdateDeploymentRequest {
        target_replicas: spec.target_replicas.cast_signed(),
        policy: Some(policy(&spec.policy)),
        labels: spec.labels.clone(),
        revision_history_limit: spec.revision_history_limit.cast_signed(),
        protocol: protocol(spec.protocol).into(),
        ..v1::UpdateDeploymentRequest::default()
    }
}

fn parse_spec(request: &DynamicMessage, violations: &mut Violations) -> DeploymentSpec {
    // What was written by the same descriptor is always read by it.
    let wire: v1::UpdateDeploymentRequest = request.transcode_to().unwrap_or_else(|error| {
        violations.add("update_mask", error.to_string());
        v1::UpdateDeploymentRequest::default()
    });
    DeploymentSpec {
        target_replicas: violations.within(
            "target_replicas",
            wire.target_replicas,
            0,
            MAX_REPLICAS,
        ),
        policy: parse_policy(wire.policy.as_ref(), violations),
        labels: parse_labels(&wire.labels, violations),
        revision_history_limit: parse_history_limit(wire.revision_history_limit, violations),
        protocol: parse_protocol(wire.protocol, violations),
    }
}

fn dynamic(wire: &v1::UpdateDeploymentRequest) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor("UpdateDeploymentRequest"));
    // It fails only for a message of another type.
    let _ = message.transcode_from(wire);
    message
}

/// The fields of a request that are about the call.
const ENVELOPE: [&str; 5] = [
    "deployment",
    "update_mask",
    "request_id",
    "expected_generation",
    "reason",
];
/// Far more than there are fields.
const MAX_PATHS: usize = 100;
const ALL: &str = "*";

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{UpdateDeploymentRequest, deployment_policy::Strategy as Wire};

    use super::*;

    const GATE: GateTimeout = GateTimeout {
        duration: Duration::from_secs(60),
        action: GateAction::Rollback,
    };

    fn spec(strategy: Strategy) -> DeploymentSpec {
        DeploymentSpec {
            target_replicas: 2,
            policy: Policy {
                strategy,
                ..Policy::default()
            },
            labels: [("tier".to_owned(), "web".to_owned())].into(),
            revision_history_limit: 5,
            protocol: Protocol::Tcp,
        }
    }

    fn blue_green(gate_timeout: Option<GateTimeout>) -> DeploymentSpec {
        spec(Strategy::BlueGreen(BlueGreen {
            auto_promote: true,
            gate_timeout,
            ..BlueGreen::default()
        }))
    }

    fn rolling(surge: u32, unavailable: u32) -> DeploymentSpec {
        spec(Strategy::Rolling(RollingUpdate {
            max_surge: IntOrPercent::Count(surge),
            max_unavailable: IntOrPercent::Count(unavailable),
        }))
    }

    /// What an update of some paths to the settings of another spec comes to.
    fn updated(
        paths: &[&str],
        to: &DeploymentSpec,
        present: &DeploymentSpec,
    ) -> Result<SpecChange, SpecConflict> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateDeploymentRequest {
            update_mask: Some(prost_types::FieldMask { paths }),
            ..request_of(to)
        };
        parsed(&request).apply(present)
    }

    fn parsed(request: &UpdateDeploymentRequest) -> SpecUpdate {
        let mut violations = Violations::default();
        let update = parse_update(request, &mut violations);
        violations.finish().expect("it is right by itself");
        update
    }

    fn conflict(result: Result<SpecChange, SpecConflict>) -> MergeConflict {
        match result {
            Err(SpecConflict::Merge(conflict)) => conflict,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_field_of_the_spec_can_be_named() {
        let (present, to) = (rolling(3, 0), blue_green(Some(GATE)));
        let fields = updatable_fields(&dynamic(&UpdateDeploymentRequest::default()));
        let names: Vec<String> = fields.map(|field| field.name().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(updated(&names, &to, &present).expect("it fits").spec, to);
        assert_eq!(updated(&[ALL], &to, &present).expect("it fits").spec, to);
    }

    #[test]
    fn a_setting_of_another_strategy_is_a_conflict() {
        let (present, to) = (rolling(3, 0), blue_green(None));
        let path = ["policy.blue_green.min_ready"];
        assert_eq!(
            conflict(updated(&path, &to, &present)),
            MergeConflict::OtherMember
        );
        let whole = updated(&["policy.blue_green"], &to, &present).expect("it fits");
        let whole = whole.spec;
        assert_eq!(whole.policy.strategy, to.policy.strategy);
    }

    #[test]
    fn a_part_of_a_gate_timeout_needs_the_rest_of_it() {
        let to = blue_green(Some(GateTimeout {
            duration: Duration::from_secs(90),
            action: GateAction::Hold,
        }));
        let parts = [
            "policy.blue_green.gate_timeout.duration",
            "policy.blue_green.gate_timeout.action",
        ];
        let longer = updated(&parts[..1], &to, &blue_green(Some(GATE))).expect("there is one");
        let expected = blue_green(Some(GateTimeout {
            duration: Duration::from_secs(90),
            ..GATE
        }));
        assert_eq!(longer.spec, expected);
        for part in parts {
            assert_eq!(
                conflict(updated(&[part], &to, &blue_green(None))),
                MergeConflict::MissingParent
            );
        }
        assert_eq!(
            updated(&parts, &to, &blue_green(None)).expect("both").spec,
            to
        );
    }

    #[test]
    fn settings_that_are_set_switch_the_strategy_and_keep_the_rest() {
        let request = UpdateDeploymentRequest {
            policy: Some(v1::DeploymentPolicy {
                strategy: Some(Wire::RollingUpdate(v1::RollingUpdateSpec {
                    max_surge: Some(v1::IntOrPercent {
                        value: Some(v1::int_or_percent::Value::Count(7)),
                    }),
                    max_unavailable: None,
                })),
                ..v1::DeploymentPolicy::default()
            }),
            ..UpdateDeploymentRequest::default()
        };
        let update = parsed(&request);
        let kept = update.apply(&rolling(3, 2)).expect("it fits");
        assert_eq!(kept.spec, rolling(7, 2));
        let switched = update.apply(&blue_green(Some(GATE))).expect("it fits");
        assert_eq!(switched.spec, rolling(7, 0));
    }

    #[test]
    fn settings_that_leave_no_room_together_are_refused() {
        let path = ["policy.rolling_update.max_surge"];
        let refused = updated(&path, &rolling(0, 1), &rolling(3, 0));
        assert!(matches!(refused, Err(SpecConflict::Invalid(_))));
        let taken = updated(&path, &rolling(0, 1), &rolling(3, 2)).expect("it fits");
        assert_eq!(taken.spec, rolling(0, 2));
    }

    #[test]
    fn several_ways_to_give_an_amount_are_one_amount() {
        let paths = [
            "policy.rolling_update.max_surge.percent",
            "policy.rolling_update.max_surge.count",
        ];
        for paths in [[paths[0], paths[1]], [paths[1], paths[0]]] {
            let taken = updated(&paths, &rolling(4, 9), &rolling(3, 0)).expect("it fits");
            assert_eq!(taken.spec, rolling(4, 0));
        }
    }
}
