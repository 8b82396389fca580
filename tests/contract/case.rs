//! One case of the contract: a method, the state before it, the request,
//! and what must come of it.

use serde_json::Value;
use tonic::{Code, Status};

use super::contract_env::{ContractEnv, InitialState};
use crate::harness::{TestEnv, decode, encode, method, path, refused};

/// A case. Its texts may have the variables of [`ContractEnv::fill`].
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) method: &'static str,
    pub(super) name: &'static str,
    pub(super) initial: InitialState,
    /// A call of the same method that comes before, and is done.
    pub(super) first: Option<String>,
    pub(super) request: String,
    pub(super) outcome: MethodOutcome,
}

#[derive(Clone, Debug)]
pub(super) enum MethodOutcome {
    /// It is done, and the reply has these values, by their JSON pointers.
    Done(&'static [(&'static str, &'static str)]),
    Refused {
        code: Code,
        reason: &'static str,
        details: Details,
    },
}

/// What a refusal has besides its `ErrorInfo`.
#[derive(Clone, Debug)]
pub(super) enum Details {
    /// `BadRequest` with these paths, in alphabetical order.
    Fields(&'static [&'static str]),
    /// `ResourceInfo` of this type and name.
    Resource(&'static str, &'static str),
    /// `PreconditionFailure` with violations of these types.
    Violations(&'static [&'static str]),
    /// Values of the `ErrorInfo` itself.
    Metadata(&'static [(&'static str, &'static str)]),
    /// `PreconditionFailure` with a violation of these types for each member of a set that is
    /// refused, and what is said of the first one.
    OfMembers(&'static [&'static str], &'static Details),
}

/// A case whose request is the JSON form of its message.
pub(super) fn case(
    method: &'static str,
    name: &'static str,
    initial: InitialState,
    request: impl Into<String>,
    outcome: MethodOutcome,
) -> Case {
    Case {
        method,
        name,
        initial,
        first: None,
        request: request.into(),
        outcome,
    }
}

pub(super) fn done(values: &'static [(&'static str, &'static str)]) -> MethodOutcome {
    MethodOutcome::Done(values)
}

pub(super) fn invalid(fields: &'static [&'static str]) -> MethodOutcome {
    refusal(
        Code::InvalidArgument,
        "INVALID_FIELD",
        Details::Fields(fields),
    )
}

pub(super) fn no_deployment(name: &'static str) -> MethodOutcome {
    let details = Details::Resource("viridian.Deployment", name);
    refusal(Code::NotFound, "DEPLOYMENT_NOT_FOUND", details)
}

pub(super) fn no_revision(name: &'static str) -> MethodOutcome {
    let details = Details::Resource("viridian.Revision", name);
    refusal(Code::NotFound, "REVISION_NOT_FOUND", details)
}

/// The wrong state for the verb, and one reason for it.
pub(super) fn wrong_state(reason: &'static [&'static str; 1]) -> MethodOutcome {
    let details = Details::Violations(reason);
    refusal(Code::FailedPrecondition, reason[0], details)
}

pub(super) fn aborted(
    reason: &'static str,
    metadata: &'static [(&'static str, &'static str)],
) -> MethodOutcome {
    refusal(Code::Aborted, reason, Details::Metadata(metadata))
}

pub(super) fn refusal(code: Code, reason: &'static str, details: Details) -> MethodOutcome {
    MethodOutcome::Refused {
        code,
        reason,
        details,
    }
}

impl Case {
    /// The same, after another call of the method.
    pub(super) fn after(mut self, first: impl Into<String>) -> Self {
        self.first = Some(first.into());
        self
    }

    /// Sets the initial, calls, and asserts what came of it. `number` makes names.
    pub(super) async fn run(self, env: &TestEnv, number: usize) {
        let method = method(self.method);
        let mut contract = ContractEnv::set(env, self.initial, number).await;
        if let Some(first) = &self.first {
            let request = encode(&method, &contract.fill(first));
            let reply = env.api.raw(&path(&method), request).await;
            let reply = decode(&method, &reply.expect("the first call is done"));
            contract.remember(&reply);
        }
        let before = contract.generation(env).await;
        let request = encode(&method, &contract.fill(&self.request));
        let reply = env.api.raw(&path(&method), request).await;
        match (&self.outcome, reply) {
            (MethodOutcome::Done(values), Ok(reply)) => {
                let reply = decode(&method, &reply);
                for (pointer, value) in *values {
                    assert_eq!(
                        text_at(&reply, pointer),
                        contract.fill(value),
                        "{pointer}: {reply:#}"
                    );
                }
            }
            (MethodOutcome::Done(_), Err(status)) => panic!("it was refused: {status:?}"),
            (MethodOutcome::Refused { .. }, Ok(reply)) => {
                panic!("it was done: {:#}", decode(&method, &reply))
            }
            (
                MethodOutcome::Refused {
                    code,
                    reason,
                    details,
                },
                Err(status),
            ) => {
                details.assert_in(&status, *code, reason, &contract);
                let after = contract.generation(env).await;
                assert_eq!(after, before, "a refused call changes nothing");
            }
        }
    }
}

impl Details {
    fn assert_in(&self, status: &Status, code: Code, reason: &str, contract: &ContractEnv) {
        let found = refused(status, code, reason);
        assert!(!status.message().is_empty(), "{status:?}");
        let (mut fields, mut resource, mut violations) = (Vec::new(), None, Vec::new());
        let first = match self {
            Self::OfMembers(expected, first) => {
                violations = expected.to_vec();
                first
            }
            only => only,
        };
        match first {
            Self::OfMembers(..) => panic!("one level of members"),
            Self::Fields(expected) => fields = expected.to_vec(),
            Self::Resource(kind, name) => resource = Some((*kind, contract.fill(name))),
            Self::Violations(expected) => violations = expected.to_vec(),
            Self::Metadata(expected) => {
                let metadata = &found.error_info().expect("an ErrorInfo").metadata;
                for (key, value) in *expected {
                    assert_eq!(
                        metadata.get(*key),
                        Some(&contract.fill(value)),
                        "{key}: {status:?}"
                    );
                }
            }
        }
        // Those that are expected, and no others.
        let bad_request = found
            .bad_request()
            .map_or(&[][..], |it| &it.field_violations);
        let mut paths: Vec<_> = bad_request.iter().map(|it| it.field.as_str()).collect();
        paths.sort_unstable();
        assert_eq!(paths, fields, "{status:?}");
        assert!(bad_request.iter().all(|it| !it.description.is_empty()));
        let info = found.resource_info();
        let info = info.map(|it| (it.resource_type.as_str(), it.resource_name.clone()));
        assert_eq!(info, resource, "{status:?}");
        let failure = found
            .precondition_failure()
            .map_or(&[][..], |it| &it.violations);
        let types: Vec<_> = failure.iter().map(|it| it.r#type.as_str()).collect();
        assert_eq!(types, violations, "{status:?}");
        for violation in failure {
            assert!(contract.is_named(&violation.subject), "{violation:?}");
            assert!(!violation.description.is_empty(), "{violation:?}");
        }
        assert!(found.retry_info().is_none(), "to repeat it would not help");
    }
}

fn text_at(reply: &Value, pointer: &str) -> String {
    match reply.pointer(pointer) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => format!("{} items", items.len()),
        Some(other) => other.to_string(),
    }
}
