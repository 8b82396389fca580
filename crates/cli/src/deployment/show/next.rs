//! What an operator does about what a deployment waits for.

use viridian_proto::v1::{BlockerCode, Deployment};

use super::qualified_name;

/// The command that gets on with it, or that says more. None when nothing is
/// waited for, or only time helps.
pub(crate) fn next(deployment: &Deployment) -> Option<String> {
    let codes = || {
        deployment
            .blockers
            .iter()
            .map(viridian_proto::v1::Blocker::code)
    };
    let verb = codes().find_map(verb)?;
    let tail = match verb {
        "activate" => " --image IMAGE",
        _ => "",
    };
    Some(format!(
        "viridian deployment {verb} {}{tail}",
        qualified_name(deployment)
    ))
}

fn verb(code: BlockerCode) -> Option<&'static str> {
    match code {
        BlockerCode::ManualGate | BlockerCode::PromoteDelay => Some("promote"),
        BlockerCode::Paused => Some("resume"),
        BlockerCode::NoRevision => Some("activate"),
        BlockerCode::GreenUnhealthy
        | BlockerCode::GreenFailed
        | BlockerCode::ReplacementsExhausted
        | BlockerCode::RoutesNotReady
        | BlockerCode::BackOff => Some("routes"),
        BlockerCode::GreenMissing
        | BlockerCode::GreenProvisioning
        | BlockerCode::MinReady
        | BlockerCode::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, BlockerCode, Deployment};

    use super::next;

    fn blocked(codes: &[BlockerCode]) -> Deployment {
        let blocker = |&code: &BlockerCode| Blocker {
            code: code.into(),
            ..Blocker::default()
        };
        Deployment {
            project: "shop".to_owned(),
            name: "cart".to_owned(),
            blockers: codes.iter().map(blocker).collect(),
            ..Deployment::default()
        }
    }

    #[test]
    fn the_first_that_something_can_be_done_about_counts() {
        for (codes, command) in [
            (&[][..], None),
            (&[BlockerCode::GreenProvisioning], None),
            (&[BlockerCode::ManualGate], Some("promote shop/cart")),
            (
                &[BlockerCode::GreenProvisioning, BlockerCode::GreenFailed],
                Some("routes shop/cart"),
            ),
            (
                &[BlockerCode::NoRevision],
                Some("activate shop/cart --image IMAGE"),
            ),
        ] {
            let expected = command.map(|it| format!("viridian deployment {it}"));
            assert_eq!(next(&blocked(codes)), expected, "{codes:?}");
        }
    }
}
