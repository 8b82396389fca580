//! Revisions.

use std::time::Duration;

use prost::Message as _;
use viridian_proto::v1;
use viridian_store::{HealthCheck, Revision, RevisionSpec};

use super::{
    Violations, environ_from,
    time::{duration, parse_duration, timestamp},
};

/// Whether a reply has the values of environment variables, or their names alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnvironValues {
    Given,
    Redacted,
}

/// A spec from the wire. `field` is where it stands in the request.
pub(crate) fn parse_spec(
    field: &str,
    wire: &v1::RevisionSpec,
    violations: &mut Violations,
) -> RevisionSpec {
    let something = [&wire.image, &wire.model]
        .iter()
        .any(|text| !text.is_empty());
    violations.check(
        something || !wire.command.is_empty(),
        field,
        "must have an image, a command or a model",
    );
    let program = wire
        .command
        .first()
        .is_none_or(|program| !program.is_empty());
    violations.check(program, &format!("{field}.command[0]"), "must not be empty");
    // One violation says enough of a spec that is too large: its texts are not worth the work.
    if wire.encoded_len() > MAX_SPEC {
        violations.add(field, format!("must be at most {MAX_SPEC} bytes in all"));
    } else {
        check_texts(field, wire, violations);
    }
    let check = wire.health_check.as_ref();
    RevisionSpec {
        image: wire.image.clone(),
        command: wire.command.clone(),
        model: wire.model.clone(),
        runtime_variant: wire.runtime_variant.clone(),
        environ: wire.environ.clone(),
        resource_slots: wire.resource_slots.clone(),
        health_check: check.map_or_else(HealthCheck::default, |check| {
            parse_health_check(&format!("{field}.health_check"), check, violations)
        }),
        environ_from: environ_from::parse(field, wire, violations),
    }
}

/// Refuses what a caller was given in place of values that are not theirs: stored, it would
/// replace the values.
fn check_redaction(field: &str, wire: &v1::RevisionSpec, violations: &mut Violations) {
    violations.check(
        !wire.environ_redacted,
        &format!("{field}.environ_redacted"),
        "this spec was read without the values of its environment: operators are given them",
    );
    // A client of an earlier version has lost the field above.
    for (name, value) in &wire.environ {
        violations.check(
            value != REDACTED,
            &format!("{field}.environ[{name:?}]"),
            "stands for a value that was left out",
        );
    }
}

/// A variable needs a name, and none of the texts may have NUL: a process could
/// not be given it, nor could every database keep it.
fn check_texts(field: &str, wire: &v1::RevisionSpec, violations: &mut Violations) {
    check_redaction(field, wire, violations);
    for key in wire.environ.keys() {
        violations.check(
            environ_from::is_variable_name(key),
            &format!("{field}.environ[{key:?}]"),
            "is not a variable's name",
        );
    }
    let mut check = |name: &str, text: &str| {
        violations.text(&format!("{field}.{name}"), text, MAX_SPEC);
    };
    check("image", &wire.image);
    check("model", &wire.model);
    check("runtime_variant", &wire.runtime_variant);
    for (index, text) in wire.command.iter().enumerate() {
        check(&format!("command[{index}]"), text);
    }
    for (key, value) in &wire.environ {
        check(&format!("environ[{key:?}]"), value);
    }
    for (key, value) in &wire.resource_slots {
        let name = format!("resource_slots[{key:?}]");
        check(&name, key);
        check(&name, value);
    }
    if let Some(health_check) = &wire.health_check {
        check("health_check.path", &health_check.path);
    }
}

/// A revision, to the wire.
pub(crate) fn revision(revision: Revision, values: EnvironValues) -> v1::Revision {
    v1::Revision {
        id: revision.id.to_string(),
        deployment_id: revision.deployment.to_string(),
        number: revision.number,
        spec: Some(spec(revision.spec, values)),
        create_time: Some(timestamp(revision.created_at)),
        created_by: revision.created_by,
    }
}

/// A spec, to the wire.
pub(crate) fn spec(spec: RevisionSpec, values: EnvironValues) -> v1::RevisionSpec {
    let mut environ = spec.environ;
    // Nothing is left out of an empty one: it can be sent back as it is.
    let environ_redacted = values == EnvironValues::Redacted && !environ.is_empty();
    if environ_redacted {
        for value in environ.values_mut() {
            REDACTED.clone_into(value);
        }
    }
    v1::RevisionSpec {
        image: spec.image,
        command: spec.command,
        model: spec.model,
        runtime_variant: spec.runtime_variant,
        environ,
        resource_slots: spec.resource_slots,
        health_check: Some(health_check(spec.health_check)),
        environ_from: environ_from::to_wire(spec.environ_from),
        environ_redacted,
    }
}

/// How health is checked, to the wire.
pub(crate) fn health_check(check: HealthCheck) -> v1::HealthCheck {
    v1::HealthCheck {
        path: check.path,
        interval: Some(duration(check.interval)),
        timeout: Some(duration(check.timeout)),
        initial_delay: Some(duration(check.initial_delay)),
    }
}

fn parse_health_check(
    field: &str,
    wire: &v1::HealthCheck,
    violations: &mut Violations,
) -> HealthCheck {
    let default = HealthCheck::default();
    let rooted = wire.path.is_empty() || wire.path.starts_with('/');
    violations.check(rooted, &format!("{field}.path"), "must begin with \"/\"");
    let mut parse = |name: &str, value: Option<&prost_types::Duration>, default, least| {
        let path = format!("{field}.{name}");
        let parsed = parse_duration(&path, value, default, violations);
        violations.check(
            parsed >= least,
            &path,
            format_args!("must be at least {least:?}"),
        );
        parsed
    };
    HealthCheck {
        path: if wire.path.is_empty() {
            default.path
        } else {
            wire.path.clone()
        },
        interval: parse(
            "interval",
            wire.interval.as_ref(),
            default.interval,
            MIN_DURATION,
        ),
        timeout: parse(
            "timeout",
            wire.timeout.as_ref(),
            default.timeout,
            MIN_DURATION,
        ),
        initial_delay: parse(
            "initial_delay",
            wire.initial_delay.as_ref(),
            default.initial_delay,
            Duration::ZERO,
        ),
    }
}

/// What stands for a value that a caller is not given. No value may be this text.
pub(crate) const REDACTED: &str = "[redacted]";
/// How large a spec may be, as the wire has it.
const MAX_SPEC: usize = 64 * 1024;
const MIN_DURATION: Duration = Duration::from_millis(10);
