//! Advice on refusals: the command that helps.

use std::fmt::Write as _;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use viridian_server::code_name;

use crate::{rpc_error, table::counted};

/// A refusal as one sentence with advice. Blockers or invalid fields follow as a list.
pub(super) fn sentence(status: &Status, deployment: &str) -> String {
    let details = status.get_error_details();
    let reason = details.error_info().map_or("", |info| info.reason.as_str());
    let mut text = match (reason, status.message().trim()) {
        // The message of the server has all blockers in one sentence. Here they follow as a list.
        ("PROMOTION_BLOCKED", _) => format!("{deployment} cannot be promoted yet"),
        (_, "") => format!("the server answered {}", code_name(status.code())),
        (_, message) => message.to_owned(),
    };
    let advice = advice(reason, status.code(), &details, deployment);
    append(&mut text, advice, status.code(), reason);
    for item in items(&details, status.message()) {
        let _ = write!(text, "\n  - {item}");
    }
    name_steps(&text)
}

/// A refusal of a set: what to do about the first member that was refused. All of them follow
/// as a list.
pub(super) fn set_sentence(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info();
    let reason = info.map_or("", |info| info.reason.as_str());
    let of_first = |key: &str| info.and_then(|info| info.metadata.get(key));
    let refused = of_first("refused_members").and_then(|count| count.parse().ok());
    let violations = details.precondition_failure().map(|it| &it.violations[..]);
    let violations = violations.unwrap_or_default();
    let mut text = match refused {
        // The message of the server has the members in one sentence. Here they are a list.
        Some(refused) if !violations.is_empty() => {
            format!(
                "nothing was changed, because of {}",
                counted(refused, "deployment")
            )
        }
        _ => status.message().trim().to_owned(),
    };
    let advice = match (reason, of_first("deployment")) {
        // Its blockers are in its own state; a dry run of the set may be refused for another.
        ("PROMOTION_BLOCKED", Some(member)) => Some(format!(
            "`viridian deployment get {member}` shows what blocks it"
        )),
        (reason, Some(member)) => advice(reason, status.code(), &details, member),
        (reason, None) => advice_for_all(reason, status.code(), &details),
    };
    append(&mut text, advice, status.code(), reason);
    let fields = fields(&details, status.message()).into_iter();
    let members = violations
        .iter()
        .map(|it| format!("{}: {} ({})", it.subject, it.description, it.r#type));
    for item in fields.chain(members) {
        let _ = write!(text, "\n  - {item}");
    }
    // The server leaves out those for which its reply has no room.
    match refused.unwrap_or(0).saturating_sub(violations.len() as u64) {
        more if more > 0 && !violations.is_empty() => {
            let _ = write!(text, "\n  - and {more} more");
        }
        _ => {}
    }
    text
}

/// Adds the advice and the code. Writing to a String cannot fail.
fn append(text: &mut String, advice: Option<String>, code: Code, reason: &str) {
    if let Some(advice) = advice {
        let _ = write!(text, "; {advice}");
    }
    let _ = match reason {
        "" => write!(text, " ({})", code_name(code)),
        reason => write!(text, " ({}, {reason})", code_name(code)),
    };
}

/// Names the steps of a canary as people count them: `step 2, policy.canary.steps[1].hold`.
fn name_steps(text: &str) -> String {
    let mut parts = text.split(STEPS);
    let mut named = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let index = part
            .split_once(']')
            .and_then(|(index, _)| index.parse().ok());
        if let Some(index) = index {
            named += &format!("step {}, ", u32::saturating_add(index, 1));
        }
        named += STEPS;
        named += part;
    }
    named
}

const STEPS: &str = "policy.canary.steps[";

/// The advice for a reason. None if no command helps.
fn advice(reason: &str, code: Code, details: &ErrorDetails, deployment: &str) -> Option<String> {
    let command = |verb: &str| format!("`viridian deployment {verb} {deployment}`");
    Some(match reason {
        // Not even advice by the code: the message says all that helps.
        "INVALID_FIELD" | "REQUEST_ID_REUSED" | "ALREADY_CURRENT" | "NOT_PAUSED"
        | "NO_REVISION" | "STRATEGY_IN_USE" | "DEPLOYMENT_HELD" | "MESSAGE_TOO_SLOW" => {
            return None;
        }
        "ROLLBACK_NOT_INSTANT" => format!("{} deploys it again", command("rollback")),
        "ALREADY_ROLLED_BACK" => {
            format!("`viridian deployment rollback {deployment} --revision NUMBER` names one")
        }
        "DEPLOYMENT_NOT_FOUND" => "`viridian deployment list` shows the existing ones".to_owned(),
        "REVISION_NOT_FOUND" | "NO_PREVIOUS_REVISION" => {
            format!("{} shows the existing ones", command("revisions"))
        }
        "ROUTE_NOT_LIVE" | "ROUTE_NOT_FOUND" => {
            format!("{} shows those that run", command("routes"))
        }
        "QUOTA_EXCEEDED" => {
            "use less, or have the server's operator raise the quota (docs/security.md)".to_owned()
        }
        "NAME_TAKEN" => format!("{} changes the existing one", command("update")),
        "DEPLOYMENT_GONE" => "its name is free for a new deployment".to_owned(),
        "NOT_DEPLOYING" => format!("{} shows how the last rollout ended", command("history")),
        "PROMOTION_BLOCKED" => blocked(details, deployment),
        "NOT_CANARY" => format!("{} switches the traffic", command("promote")),
        "STEP_NOT_HELD" | "STEP_MISMATCH" => format!("{} shows its progress", command("watch")),
        "NOT_BLUE_GREEN" | "ROLLING_BACK" | "ROLLOUT_UNDER_WAY" => {
            format!("{} shows its progress", command("watch"))
        }
        "ALREADY_PAUSED" | "PAUSED" => format!("{} ends the pause", command("resume")),
        "STRATEGY_MISMATCH" => "--strategy changes the strategy".to_owned(),
        "NO_GATE_TIMEOUT" => "give both --gate-timeout and --gate-action".to_owned(),
        "GENERATION_MISMATCH" | "REVISION_MISMATCH" => {
            format!("{} shows the present state", command("get"))
        }
        "DEPLOYMENT_IN_PROGRESS" => format!("{} shows its progress", command("watch")),
        "RESUME_TOKEN_EXPIRED" | "SLOW_CONSUMER" => "start the watch again".to_owned(),
        reason => return advice_for_all(reason, code, details),
    })
}

/// The advice that is the same whatever deployment a call is about.
fn advice_for_all(reason: &str, code: Code, details: &ErrorDetails) -> Option<String> {
    if reason == "SET_TOO_LARGE" {
        return Some("name fewer deployments in each command".to_owned());
    }
    let credentials = rpc_error::credentials_advice(code, reason).map(str::to_owned);
    credentials.or_else(|| advice_by_code(code, details))
}

fn blocked(details: &ErrorDetails, deployment: &str) -> String {
    let violations = details.precondition_failure().map(|it| &it.violations);
    let is_paused = violations.is_some_and(|all| all.iter().any(|it| it.r#type == "PAUSED"));
    // A pause blocks all else: to wait for the gate would not end.
    if is_paused {
        format!("`viridian deployment resume {deployment}` ends the pause")
    } else {
        format!(
            "`viridian deployment watch {deployment} --until awaiting-promotion` waits until it can be"
        )
    }
}

fn advice_by_code(code: Code, details: &ErrorDetails) -> Option<String> {
    let delay = details.retry_info().and_then(|it| it.retry_delay);
    Some(match (code, delay) {
        // Whatever the code: the server knows best when a repeat helps.
        (_, Some(delay)) => format!("try again in {delay:?}"),
        (Code::DeadlineExceeded, _) => {
            "the call may have been executed: check before you repeat it".to_owned()
        }
        _ => return None,
    })
}

/// Blockers and invalid fields, unless the sentence names them already.
fn items(details: &ErrorDetails, message: &str) -> Vec<String> {
    let mut items = fields(details, message);
    if let Some(precondition) = details.precondition_failure() {
        let violations = precondition.violations.iter();
        let unmentioned = violations.filter(|it| it.description != message);
        items.extend(unmentioned.map(|it| format!("{} ({})", it.description, it.r#type)));
    }
    items
}

/// Invalid fields, unless the sentence names them already.
fn fields(details: &ErrorDetails, message: &str) -> Vec<String> {
    let Some(request) = details.bad_request() else {
        return Vec::new();
    };
    let violations = request.field_violations.iter();
    let named = violations.filter(|it| it.description != message);
    let items = named.map(|it| format!("{}: {}", it.field, it.description));
    items.filter(|item| item != message).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(code: Code, reason: &str, message: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "viridian", []);
        Status::with_error_details(code, message, details)
    }

    /// All reasons, from the table in the documentation.
    fn reasons() -> Vec<(&'static str, Code)> {
        let document = include_str!("../../../../docs/api.md");
        let (_, table) = document.split_once("### By reason").expect("the table");
        let rows = table.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let reason = cells.next()?.strip_suffix('`')?;
            let code = (0..=16)
                .map(Code::from_i32)
                .find(|&code| cells.clone().any(|cell| cell == code_name(code)))?;
            Some((reason, code))
        });
        rows.collect()
    }

    #[test]
    fn every_reason_is_a_sentence() {
        let all = reasons();
        assert!(all.len() > 30, "{all:?}");
        let sentences = all
            .into_iter()
            .map(|(reason, code)| sentence(&refused(code, reason, "this is so"), "shop/cart"));
        insta::assert_snapshot!("sentences", sentences.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn the_blockers_of_a_promotion_are_a_list() {
        let mut details = ErrorDetails::with_error_info("PROMOTION_BLOCKED", "viridian", []);
        for (code, message) in [
            (
                "GREEN_PROVISIONING",
                "1 of 3 green routes is ready; 1 is starting",
            ),
            (
                "GREEN_UNHEALTHY",
                "1 of 3 green routes is ready; 1 is UNHEALTHY",
            ),
        ] {
            details.add_precondition_failure_violation(code, "shop/cart", message);
        }
        let status =
            Status::with_error_details(Code::FailedPrecondition, "cannot promote: …", details);
        insta::assert_snapshot!("promotion_blocked", sentence(&status, "shop/cart"));
    }

    #[test]
    fn a_pause_must_end_first() {
        let mut details = ErrorDetails::with_error_info("PROMOTION_BLOCKED", "viridian", []);
        details.add_precondition_failure_violation("PAUSED", "shop/cart", "it is paused");
        let status = Status::with_error_details(Code::FailedPrecondition, "no", details);
        insta::assert_snapshot!("promotion_paused", sentence(&status, "shop/cart"));
    }

    #[test]
    fn invalid_fields_are_a_list_without_repetitions() {
        let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "viridian", []);
        details
            .add_bad_request_violation("target_replicas", "must be 0 to 1000")
            .add_bad_request_violation("labels[\"a b\"]", "is no key");
        let status =
            Status::with_error_details(Code::InvalidArgument, "2 fields are not valid", details);
        insta::assert_snapshot!("invalid_fields", sentence(&status, "shop/cart"));

        let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "viridian", []);
        details.add_bad_request_violation("name", "is taken");
        let status = Status::with_error_details(Code::InvalidArgument, "name: is taken", details);
        assert_eq!(
            sentence(&status, "shop/cart"),
            "name: is taken (INVALID_ARGUMENT, INVALID_FIELD)"
        );
    }

    #[test]
    fn the_steps_of_a_canary_are_counted_from_one() {
        let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "viridian", []);
        details
            .add_bad_request_violation("policy.canary.steps[1].weight_permille", "must rise")
            .add_bad_request_violation("policy.canary.steps[9].hold", "must be short");
        let status = Status::with_error_details(Code::InvalidArgument, "2 fields", details);
        assert_eq!(
            sentence(&status, "shop/cart"),
            "2 fields (INVALID_ARGUMENT, INVALID_FIELD)\n  \
             - step 2, policy.canary.steps[1].weight_permille: must rise\n  \
             - step 10, policy.canary.steps[9].hold: must be short"
        );
        for text in [
            "",
            "policy.canary.steps: must be 1 to 10",
            "policy.canary.steps[",
        ] {
            assert_eq!(name_steps(text), text);
        }
    }

    /// As the server refuses a set: the reason of the first member, and a violation for each.
    fn of_set(code: Code, refused: &[(&str, &str, &str)], count: usize) -> String {
        let (member, reason, _) = refused[0];
        let metadata = [
            ("member", "members[1]".to_owned()),
            ("deployment", member.to_owned()),
            ("refused_members", count.to_string()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value));
        let mut details = ErrorDetails::with_error_info(reason, "viridian", metadata);
        for (member, reason, message) in refused {
            details.add_precondition_failure_violation(*reason, *member, *message);
        }
        set_sentence(&Status::with_error_details(
            code,
            "nothing was changed: …",
            details,
        ))
    }

    #[test]
    fn the_members_of_a_set_that_are_refused_are_a_list() {
        let blocked = (
            "shop/cart",
            "PROMOTION_BLOCKED",
            "1 of 3 green routes is ready",
        );
        let over = ("shop/web", "NOT_DEPLOYING", "nothing is being deployed");
        let drained = (
            "shop/web",
            "ROLLBACK_NOT_INSTANT",
            "too few routes are retained",
        );
        let missing = (
            "shop/none",
            "DEPLOYMENT_NOT_FOUND",
            "there is no such deployment",
        );
        let mut details = ErrorDetails::with_error_info("SET_TOO_LARGE", "viridian", []);
        let too_large = "there are 51 members";
        details.add_bad_request_violation("members", too_large);
        let too_large = Status::with_error_details(Code::InvalidArgument, too_large, details);
        let sentences = [
            of_set(Code::FailedPrecondition, &[blocked, over], 2),
            of_set(Code::FailedPrecondition, &[over, blocked], 9),
            of_set(Code::FailedPrecondition, &[drained], 1),
            of_set(Code::NotFound, &[missing], 1),
            set_sentence(&too_large),
        ];
        insta::assert_snapshot!("sets", sentences.join("\n"));
    }

    #[test]
    fn a_retry_delay_is_advised() {
        let mut details = ErrorDetails::with_error_info("TOO_MANY_CALLS", "viridian", []);
        details.set_retry_info(Some(Duration::from_millis(200)));
        let status = Status::with_error_details(Code::ResourceExhausted, "too much", details);
        assert_eq!(
            sentence(&status, "shop/cart"),
            "too much; try again in 200ms (RESOURCE_EXHAUSTED, TOO_MANY_CALLS)"
        );
    }

    #[test]
    fn refused_callers_are_told_about_credentials() {
        let sentences = [
            (Code::Unauthenticated, "CREDENTIALS_MISSING"),
            (Code::Unauthenticated, "CREDENTIALS_INVALID"),
            (Code::PermissionDenied, "ROLE_NOT_ALLOWED"),
            (Code::PermissionDenied, "PROJECT_NOT_ALLOWED"),
            (Code::DeadlineExceeded, ""),
        ]
        .map(|(code, reason)| sentence(&refused(code, reason, "no"), "shop/cart"));
        insta::assert_snapshot!("not_let_in", sentences.join("\n"));
    }

    #[test]
    fn a_refusal_without_a_message_is_still_a_sentence() {
        assert_eq!(
            sentence(&Status::new(Code::Internal, ""), "shop/cart"),
            "the server answered INTERNAL (INTERNAL)"
        );
    }
}
