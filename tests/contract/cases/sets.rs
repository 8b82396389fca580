//! Promote and roll back several deployments at once.

use tonic::Code;

use super::super::{
    case::{Case, Details, case, done, invalid, refusal},
    contract_env::InitialState,
};

pub(super) fn cases() -> Vec<Case> {
    [promote(), roll_back()].concat()
}

fn promote() -> Vec<Case> {
    const METHOD: &str = "PromoteDeployments";
    let mut cases = of_members(METHOD);
    cases.extend([
        case(
            METHOD,
            "at the gate",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$id","expectedRevision":"2"},{"deployment":"$other"}]}"#,
            done(&[
                ("/members", "2 items"),
                ("/members/0/deployment/currentRevisionId", "$deploying"),
                ("/members/0/promotedRouteIds", "1 items"),
                ("/members/1/drainedRouteIds", "1 items"),
            ]),
        ),
        case(
            METHOD,
            "only to look",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$id"},{"deployment":"$other"}],"validateOnly":true}"#,
            done(&[
                ("/members/0/deployment/currentRevisionId", "$current"),
                ("/members/0/promotedRouteIds", "1 items"),
                ("/members/0/blockers", ""),
                ("/commitId", ""),
            ]),
        ),
        case(
            METHOD,
            "both were promoted",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$other"},{"deployment":"$id"}]}"#,
            refusal(
                Code::FailedPrecondition,
                "NOT_DEPLOYING",
                Details::Violations(&["NOT_DEPLOYING", "NOT_DEPLOYING"]),
            ),
        )
        .after(r#"{"members":[{"deployment":"$other"},{"deployment":"$id"}]}"#),
        case(
            METHOD,
            "one is at another generation",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$other"},{"deployment":"$id","expectedGeneration":"0"}]}"#,
            refusal(
                Code::Aborted,
                "GENERATION_MISMATCH",
                Details::OfMembers(
                    &["GENERATION_MISMATCH"],
                    &Details::Metadata(&[("generation", "$generation"), ("member", "members[1]")]),
                ),
            ),
        ),
        case(
            METHOD,
            "one is to have another revision",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$other"},{"deployment":"$id","expectedRevision":"1"}]}"#,
            refusal(
                Code::Aborted,
                "REVISION_MISMATCH",
                Details::OfMembers(
                    &["REVISION_MISMATCH"],
                    &Details::Metadata(&[("member", "members[1]")]),
                ),
            ),
        ),
    ]);
    cases
}

fn roll_back() -> Vec<Case> {
    const METHOD: &str = "RollbackDeployments";
    let mut cases = of_members(METHOD);
    cases.extend([
        case(
            METHOD,
            "in a rollout",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$other"},{"deployment":"$id"}]}"#,
            done(&[
                ("/members/1/deployment/currentRevisionId", "$current"),
                ("/members/1/deployment/deployingRevisionId", ""),
                ("/members/1/drainedRouteIds", "1 items"),
            ]),
        ),
        case(
            METHOD,
            "only to look",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$other"},{"deployment":"$id"}],"validateOnly":true}"#,
            done(&[("/members/1/deployment/deployingRevisionId", "$deploying")]),
        ),
        case(
            METHOD,
            "to revisions that would have to start",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$other","revision":"2"},{"deployment":"$id","revision":"2"}]}"#,
            refusal(
                Code::FailedPrecondition,
                "ROLLBACK_NOT_INSTANT",
                Details::Violations(&["ROLLBACK_NOT_INSTANT", "ROLLBACK_NOT_INSTANT"]),
            ),
        )
        .after(r#"{"members":[{"deployment":"$other"},{"deployment":"$id"}]}"#),
        case(
            METHOD,
            "malformed target",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$other"},{"deployment":"$id","revision":"two"}]}"#,
            invalid(&["members[1].revision"]),
        ),
    ]);
    cases
}

/// What both refuse.
fn of_members(method: &'static str) -> Vec<Case> {
    let on = |name, initial, request: &str, outcome| case(method, name, initial, request, outcome);
    let pair = r#""members":[{"deployment":"$id"},{"deployment":"$other"}]"#;
    let with = |fields: &str| format!("{{{pair},{fields}}}");
    let many = r#"{"deployment":"shop/cart"},"#.repeat(51);
    let many = many.trim_end_matches(',');
    let too_large = Details::Fields(&["members"]);
    let repeated = with(r#""requestId":"$request""#);
    vec![
        on(
            "no members",
            InitialState::Nothing,
            "{}",
            invalid(&["members"]),
        ),
        on(
            "one member",
            InitialState::Gate,
            r#"{"members":[{"deployment":"$id"}]}"#,
            invalid(&["members"]),
        ),
        on(
            "51 members",
            InitialState::Nothing,
            &format!(r#"{{"members":[{many}]}}"#),
            refusal(Code::InvalidArgument, "SET_TOO_LARGE", too_large),
        ),
        on(
            "the same twice",
            InitialState::Gate,
            r#"{"members":[{"deployment":"$id"},{"deployment":"$ref"}]}"#,
            invalid(&["members[1].deployment"]),
        ),
        on(
            "malformed name",
            InitialState::Gate,
            r#"{"members":[{"deployment":"$id"},{"deployment":"cart"}]}"#,
            invalid(&["members[1].deployment"]),
        ),
        on(
            "unknown id",
            InitialState::Gate,
            r#"{"members":[{"deployment":"$id"},{"deployment":"$unknown"}]}"#,
            refusal(
                Code::NotFound,
                "DEPLOYMENT_NOT_FOUND",
                Details::OfMembers(
                    &["DEPLOYMENT_NOT_FOUND"],
                    &Details::Resource("viridian.Deployment", "$unknown"),
                ),
            ),
        ),
        on(
            "malformed revision",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$id"},{"deployment":"$other","expectedRevision":"x"}]}"#,
            invalid(&["members[1].expected_revision"]),
        ),
        on(
            "unknown revision",
            InitialState::GatePair,
            r#"{"members":[{"deployment":"$id","expectedRevision":"7"},{"deployment":"$other"}]}"#,
            refusal(
                Code::NotFound,
                "REVISION_NOT_FOUND",
                Details::OfMembers(
                    &["REVISION_NOT_FOUND"],
                    &Details::Resource("viridian.Revision", "7"),
                ),
            ),
        ),
        on(
            "a generation of all",
            InitialState::GatePair,
            &with(r#""expectedGeneration":"$generation""#),
            invalid(&["expected_generation"]),
        ),
        on(
            "request id that is no UUID",
            InitialState::GatePair,
            &with(r#""requestId":"mine""#),
            invalid(&["request_id"]),
        ),
        on(
            "repeat",
            InitialState::GatePair,
            &repeated,
            done(&[("/members", "2 items")]),
        )
        .after(repeated.clone()),
        on(
            "request id of another request",
            InitialState::GatePair,
            &with(r#""requestId":"$request","reason":"other""#),
            refusal(
                Code::InvalidArgument,
                "REQUEST_ID_REUSED",
                Details::Fields(&["request_id"]),
            ),
        )
        .after(repeated),
    ]
}
