//! Requests: the first byte says of which type, the rest is the message.

use std::{fmt::Debug, time::Duration};

use prost::Message;
use viridian_proto::v1;
use viridian_store::{DeploymentSpec, Manifest as _, NewDeployment, Protocol, RevisionSpec};
use viridian_strategy::{
    BlueGreen, Canary, CanaryStep, IntOrPercent, Policy, RollingUpdate, Strategy,
};

use super::fits;
use crate::{
    convert::{
        Violations,
        apply::parse_apply,
        deployment::{metadata, parse_new, parse_resource_group},
        policy::{parse_expected_step, policy},
        protocol::protocol,
        reference::{parse_deployment, parse_optional_revision, parse_revision},
        revision::{EnvironValues, parse_spec, spec},
        route::{parse_healths, parse_status_filter, parse_statuses},
        update::{SpecUpdate, parse_settings, parse_update},
    },
    paging::PageRequest,
    resume::{RouteQuery, parse_route_cursor},
    scope::{MutationFields, mutation_fields},
    selector::LabelSelector,
    services::deployment::{parse_filter, parse_watch},
    token::TokenSeal,
};

/// Any request: it is parsed as a server does, and what is right is the same when it is
/// written and parsed again.
pub fn requests(bytes: &[u8]) {
    let Some((kind, message)) = bytes.split_first() else {
        return;
    };
    let (_, body) = BODIES[usize::from(*kind) % BODIES.len()];
    body(message);
}

type Body = fn(&[u8]);

/// All types of requests. Seeds and findings have the place of theirs as their first byte:
/// append new ones.
pub(super) const BODIES: [(&str, Body); 32] = [
    ("CreateDeploymentRequest", creation),
    ("UpdateDeploymentRequest", update),
    ("ApplyDeploymentRequest", apply),
    ("CreateRevisionRequest", revision),
    ("ReportRouteStatusesRequest", statuses),
    ("ReportRouteHealthRequest", healths),
    ("ListDeploymentsRequest", list),
    ("WatchDeploymentsRequest", watch),
    ("GetDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::GetDeploymentRequest, violations| {
            parse_deployment("deployment", &it.deployment, violations);
        });
    }),
    ("DeleteDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::DeleteDeploymentRequest, violations| {
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("GetRevisionRequest", |bytes| {
        parsed(bytes, |it: &v1::GetRevisionRequest, violations| {
            parse_deployment("deployment", &it.deployment, violations);
            parse_revision("revision", &it.revision, violations);
        });
    }),
    ("ListRevisionsRequest", |bytes| {
        parsed(bytes, |it: &v1::ListRevisionsRequest, violations| {
            page(it.page_size, &it.page_token, violations);
            parse_deployment("deployment", &it.deployment, violations);
        });
    }),
    ("ActivateRevisionRequest", |bytes| {
        parsed(bytes, |it: &v1::ActivateRevisionRequest, violations| {
            parse_revision("revision", &it.revision, violations);
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("PromoteDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::PromoteDeploymentRequest, violations| {
            parse_optional_revision("expected_revision", &it.expected_revision, violations);
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("AbortDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::AbortDeploymentRequest, violations| {
            parse_optional_revision("expected_revision", &it.expected_revision, violations);
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("RollbackDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::RollbackDeploymentRequest, violations| {
            parse_optional_revision("revision", &it.revision, violations);
            parse_optional_revision("expected_revision", &it.expected_revision, violations);
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("PauseDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::PauseDeploymentRequest, violations| {
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("ResumeDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::ResumeDeploymentRequest, violations| {
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("RestartDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::RestartDeploymentRequest, violations| {
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("DrainRouteRequest", |bytes| {
        parsed(bytes, |it: &v1::DrainRouteRequest, violations| {
            violations.uuid("route_id", &it.route_id);
            fields(it, mutation_fields!(it), violations);
        });
    }),
    ("ListRoutesRequest", |bytes| {
        parsed(bytes, |it: &v1::ListRoutesRequest, violations| {
            parse_optional_revision("revision", &it.revision, violations);
            page(it.page_size, &it.page_token, violations);
            parse_deployment("deployment", &it.deployment, violations);
        });
    }),
    ("ListHistoryRequest", |bytes| {
        parsed(bytes, |it: &v1::ListHistoryRequest, violations| {
            page(it.page_size, &it.page_token, violations);
            parse_deployment("deployment", &it.deployment, violations);
        });
    }),
    ("ListAssignmentsRequest", |bytes| {
        parsed(bytes, |it: &v1::ListAssignmentsRequest, violations| {
            parse_resource_group(it.resource_group.clone(), violations);
            page(it.page_size, &it.page_token, violations);
        });
    }),
    ("WatchAssignmentsRequest", |bytes| {
        parsed(bytes, |it: &v1::WatchAssignmentsRequest, violations| {
            parse_resource_group(it.resource_group.clone(), violations);
        });
    }),
    ("GetTrafficRequest", |bytes| {
        parsed(bytes, |it: &v1::GetTrafficRequest, violations| {
            parse_deployment("deployment", &it.deployment, violations);
        });
    }),
    ("WatchTrafficRequest", |bytes| {
        parsed(bytes, |it: &v1::WatchTrafficRequest, violations| {
            for text in &it.deployments {
                parse_deployment("deployments", text, violations);
            }
        });
    }),
    ("GetServerInfoRequest", |bytes| {
        parsed(bytes, |_: &v1::GetServerInfoRequest, _| {});
    }),
    ("RouteServiceListRoutesRequest", |bytes| {
        parsed(
            bytes,
            |it: &v1::RouteServiceListRoutesRequest, violations| {
                parse_resource_group(it.resource_group.clone(), violations);
                parse_status_filter(&it.statuses, violations);
                page(it.page_size, &it.page_token, violations);
            },
        );
    }),
    ("WatchRoutesRequest", |bytes| {
        parsed(bytes, |it: &v1::WatchRoutesRequest, violations| {
            parse_resource_group(it.resource_group.clone(), violations);
            parse_status_filter(&it.statuses, violations);
            let query = RouteQuery {
                routes: 0,
                projects: 0,
            };
            let _ = parse_route_cursor(&it.resume_token, query, &TokenSeal::of_test(9));
        });
    }),
    ("AdvanceDeploymentRequest", |bytes| {
        parsed(bytes, |it: &v1::AdvanceDeploymentRequest, violations| {
            parse_optional_revision("expected_revision", &it.expected_revision, violations);
            parse_expected_step(it.expected_step, violations);
            call(it, &it.deployment, mutation_fields!(it), violations);
        });
    }),
    ("PromoteDeploymentsRequest", |bytes| {
        parsed(bytes, |it: &v1::PromoteDeploymentsRequest, violations| {
            for member in &it.members {
                parse_deployment("deployment", &member.deployment, violations);
                parse_optional_revision("expected_revision", &member.expected_revision, violations);
            }
            fields(it, mutation_fields!(it), violations);
        });
    }),
    ("RollbackDeploymentsRequest", |bytes| {
        parsed(bytes, |it: &v1::RollbackDeploymentsRequest, violations| {
            for member in &it.members {
                parse_deployment("deployment", &member.deployment, violations);
                parse_optional_revision("revision", &member.revision, violations);
                parse_optional_revision("expected_revision", &member.expected_revision, violations);
            }
            fields(it, mutation_fields!(it), violations);
        });
    }),
];

/// Parses a message, if the bytes are one.
fn parsed<M>(bytes: &[u8], parse: impl Fn(&M, &mut Violations))
where
    M: Message + Default + PartialEq + Debug,
{
    let Ok(wire) = M::decode(bytes) else { return };
    // A repeated call is known by these bytes.
    let encoded = wire.encode_to_vec();
    let again = M::decode(encoded.as_slice()).expect("it was just encoded");
    assert_eq!(
        again.encode_to_vec(),
        encoded,
        "one message has one encoding"
    );
    let mut violations = Violations::default();
    parse(&wire, &mut violations);
    fits(violations);
}

fn call(wire: &impl Message, deployment: &str, of: &MutationFields<'_>, to: &mut Violations) {
    fields(wire, of, to);
    parse_deployment("deployment", deployment, to);
}

fn fields(wire: &impl Message, of: &MutationFields<'_>, violations: &mut Violations) {
    of.parse("fuzz", "Fuzz", wire, violations);
}

fn page(size: i32, token: &str, violations: &mut Violations) {
    let page =
        PageRequest::<i64>::parse(size, token, &["fuzz"], &TokenSeal::of_test(9), violations);
    assert!((1..=500).contains(&page.size), "{}", page.size);
}

fn creation(bytes: &[u8]) {
    parsed(bytes, |wire: &v1::CreateDeploymentRequest, violations| {
        let new = parse_new(wire, violations);
        if violations.is_empty() {
            let written = creation_of(new);
            let again = parse_new(&written, violations);
            assert_eq!(creation_of(again), written);
            assert!(
                violations.is_empty(),
                "what was taken is taken again: {violations:?}"
            );
        }
        fields(wire, mutation_fields!(wire), violations);
    });
}

fn creation_of(new: NewDeployment) -> v1::CreateDeploymentRequest {
    v1::CreateDeploymentRequest {
        project: new.project,
        name: new.name,
        labels: new.labels,
        metadata: Some(metadata(new.metadata)),
        target_replicas: new.target_replicas.cast_signed(),
        policy: Some(policy(&new.policy)),
        revision_history_limit: new.revision_history_limit.cast_signed(),
        protocol: protocol(new.protocol).into(),
        initial_revision: new.initial_revision.map(written_spec),
        ..v1::CreateDeploymentRequest::default()
    }
}

fn update(bytes: &[u8]) {
    parsed(bytes, |wire: &v1::UpdateDeploymentRequest, violations| {
        let update = parse_update(wire, violations);
        if violations.is_empty() {
            PRESENT
                .iter()
                .for_each(|present| repeat(&update, &present()));
        }
        call(wire, &wire.deployment, mutation_fields!(wire), violations);
    });
}

fn apply(bytes: &[u8]) {
    parsed(bytes, |wire: &v1::ApplyDeploymentRequest, violations| {
        let manifest = parse_apply(wire, violations);
        if violations.is_empty() {
            let update = parse_settings(wire, violations);
            PRESENT
                .iter()
                .for_each(|present| repeat(&update, &present()));
            if let Ok((new, _)) = manifest.creation() {
                let created = DeploymentSpec {
                    target_replicas: new.target_replicas,
                    policy: new.policy,
                    labels: new.labels,
                    revision_history_limit: new.revision_history_limit,
                    protocol: new.protocol,
                };
                let again = update.apply(&created).expect("it was created so");
                assert_eq!(again.spec, created, "a second apply has nothing to do");
            }
        }
        fields(wire, mutation_fields!(wire), violations);
    });
}

/// An update that was made changes nothing when it is made again.
fn repeat(update: &SpecUpdate, present: &DeploymentSpec) {
    let Ok(first) = update.apply(present) else {
        return;
    };
    let is_same = first.spec == *present;
    assert_eq!(first.changes.is_empty(), is_same, "{:?}", first.changes);
    let second = update.apply(&first.spec).expect("it fitted before");
    assert_eq!(second.spec, first.spec);
}

fn revision(bytes: &[u8]) {
    parsed(bytes, |wire: &v1::CreateRevisionRequest, violations| {
        let given = wire.spec.clone().unwrap_or_default();
        let taken = parse_spec("spec", &given, violations);
        if violations.is_empty() {
            // Defaults that are written out may make a spec too large.
            let written = written_spec(taken.clone());
            let again = parse_spec("spec", &written, &mut Violations::default());
            assert_eq!(again, taken);
        }
        call(wire, &wire.deployment, mutation_fields!(wire), violations);
    });
}

fn written_spec(taken: RevisionSpec) -> v1::RevisionSpec {
    spec(taken, EnvironValues::Given)
}

fn statuses(bytes: &[u8]) {
    parsed(
        bytes,
        |wire: &v1::ReportRouteStatusesRequest, violations| {
            let reports = parse_statuses(&wire.reports, violations);
            if violations.is_empty() {
                assert_eq!(reports.len(), wire.reports.len());
            }
            for report in reports {
                assert!(!report.failure.contains('\0') && report.failure.len() <= 4_096);
            }
        },
    );
}

fn healths(bytes: &[u8]) {
    parsed(bytes, |wire: &v1::ReportRouteHealthRequest, violations| {
        let reports = parse_healths(&wire.reports, violations);
        if violations.is_empty() {
            assert_eq!(reports.len(), wire.reports.len());
        }
        for report in reports {
            assert!(!report.detail.contains('\0') && report.detail.len() <= 1_024);
        }
    });
}

fn list(bytes: &[u8]) {
    parsed(bytes, |wire: &v1::ListDeploymentsRequest, violations| {
        let filter = parse_filter(wire, violations);
        assert!(!filter.lifecycles.is_empty(), "it would list nothing");
        if let Err(why) = LabelSelector::parse(&wire.label_selector) {
            violations.add("label_selector", why);
        }
        page(wire.page_size, &wire.page_token, violations);
    });
}

fn watch(bytes: &[u8]) {
    parsed(bytes, |wire: &v1::WatchDeploymentsRequest, violations| {
        let (references, _) = parse_watch(wire, &TokenSeal::of_test(9), violations);
        if violations.is_empty() {
            assert_eq!(references.len(), wire.deployments.len());
            assert!(references.iter().all(Option::is_some));
        }
    });
}

/// Deployments with all that an update can meet: each strategy, with settings of its own.
const PRESENT: [fn() -> DeploymentSpec; 3] = [
    || present(Policy::default()),
    || {
        present(Policy {
            strategy: Strategy::Rolling(RollingUpdate {
                max_surge: IntOrPercent::Percent(25),
                max_unavailable: IntOrPercent::Count(0),
            }),
            first_deadline: Some(Duration::from_secs(5)),
            ..Policy::default()
        })
    },
    || {
        let step = |weight_permille, manual| CanaryStep {
            weight_permille,
            hold: Duration::from_secs(60),
            manual,
            replicas: manual.then_some(IntOrPercent::Count(2)),
        };
        present(Policy {
            strategy: Strategy::Canary(Canary {
                steps: vec![step(0, true), step(500, false)],
                switch: BlueGreen::default(),
            }),
            ..Policy::default()
        })
    },
];

fn present(policy: Policy) -> DeploymentSpec {
    DeploymentSpec {
        target_replicas: 3,
        policy,
        labels: [("tier".to_owned(), "web".to_owned())].into(),
        revision_history_limit: 7,
        protocol: Protocol::Http2,
    }
}
