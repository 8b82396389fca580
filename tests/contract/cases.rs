//! The cases, by what their methods are for.

mod apply;
mod canary;
mod life;
mod lists;
mod replicas;
mod reports;
mod revisions;
mod rollout;
mod sets;
mod system;
mod traffic;

use tonic::Code;

use super::{
    case::{Case, Details, aborted, case, done, invalid, no_deployment, refusal},
    contract_env::InitialState,
};

pub(super) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(life::cases());
    cases.extend(apply::cases());
    cases.extend(lists::cases());
    cases.extend(revisions::cases());
    cases.extend(rollout::cases());
    cases.extend(canary::cases());
    cases.extend(sets::cases());
    cases.extend(replicas::cases());
    cases.extend(reports::cases());
    cases.extend(traffic::cases());
    cases.extend(system::cases());
    cases
}

/// Every method that names a deployment refuses these. `fields` are further
/// fields of the request, each behind a comma.
fn named(method: &'static str, fields: &str) -> Vec<Case> {
    let naming = |name, reference: &str, outcome| {
        let request = format!(r#"{{"deployment":"{reference}"{fields}}}"#);
        case(method, name, InitialState::Nothing, request, outcome)
    };
    vec![
        naming("no reference", "", invalid(&["deployment"])),
        naming("no project", "web", invalid(&["deployment"])),
        naming("unknown name", "$ref", no_deployment("$ref")),
        naming("unknown id", "$unknown", no_deployment("$unknown")),
    ]
}

/// Every method that changes something takes these terms. `fields` are those of
/// a request that is done in the initial, each before a comma.
fn terms(method: &'static str, initial: InitialState, fields: &str) -> Vec<Case> {
    let on = |name, terms: &str, outcome| {
        let request = format!("{{{fields}{terms}}}");
        case(method, name, initial, request, outcome)
    };
    let identified = format!(r#"{{{fields}"requestId":"$request"}}"#);
    let reused = refusal(
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
        Details::Fields(&["request_id"]),
    );
    vec![
        on(
            "request id that is no UUID",
            r#""requestId":"mine""#,
            invalid(&["request_id"]),
        ),
        on(
            "reason that is too long",
            r#""reason":"$long""#,
            invalid(&["reason"]),
        ),
        on(
            "reason with NUL",
            r#""reason":"\u0000""#,
            invalid(&["reason"]),
        ),
        case(method, "repeat", initial, identified.clone(), done(&[])).after(identified.clone()),
        on(
            "request id of another request",
            r#""requestId":"$request","reason":"other""#,
            reused,
        )
        .after(identified),
    ]
}

/// The same, of a deployment that is there.
fn terms_on_one(method: &'static str, initial: InitialState, fields: &str) -> Vec<Case> {
    let fields = format!(r#""deployment":"$id"{fields},"#);
    let request = format!(r#"{{{fields}"expectedGeneration":"0"}}"#);
    let outcome = aborted(
        "GENERATION_MISMATCH",
        &[("expected_generation", "0"), ("generation", "$generation")],
    );
    let mut cases = terms(method, initial, &fields);
    cases.push(case(
        method,
        "another generation",
        initial,
        request,
        outcome,
    ));
    cases
}
