//! The command that an operator may run next.

use viridian_proto::v1::{BlockerCode, Deployment};

use crate::enum_names::qualified_name;

/// The command that resolves the first blocker that a command can resolve, or shows
/// more about it. None if only time helps.
pub(crate) fn next_step(deployment: &Deployment) -> Option<String> {
    let verb = deployment.blockers.iter().find_map(|it| verb(it.code()))?;
    let tail = match verb {
        "activate" => " --image IMAGE",
        "update" => " --replicas N",
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
        BlockerCode::StepHold | BlockerCode::ManualStep => Some("advance"),
        BlockerCode::Paused => Some("resume"),
        BlockerCode::NoRevision => Some("activate"),
        BlockerCode::NoReplicas => Some("update"),
        BlockerCode::GreenUnhealthy
        | BlockerCode::GreenFailed
        | BlockerCode::ReplacementsExhausted
        | BlockerCode::RoutesNotReady
        | BlockerCode::NoAddress
        | BlockerCode::HealthStale
        | BlockerCode::BackOff
        | BlockerCode::Terminating
        | BlockerCode::Restarting => Some("routes"),
        BlockerCode::GreenMissing
        | BlockerCode::GreenProvisioning
        | BlockerCode::MinReady
        | BlockerCode::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, BlockerCode, Deployment};

    use super::next_step;

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
    fn the_first_blocker_with_a_command_counts() {
        for (codes, command) in [
            (&[][..], None),
            (&[BlockerCode::GreenProvisioning], None),
            (&[BlockerCode::ManualGate], Some("promote shop/cart")),
            (&[BlockerCode::StepHold], Some("advance shop/cart")),
            (&[BlockerCode::ManualStep], Some("advance shop/cart")),
            (
                &[BlockerCode::GreenProvisioning, BlockerCode::GreenFailed],
                Some("routes shop/cart"),
            ),
            (
                &[BlockerCode::NoRevision],
                Some("activate shop/cart --image IMAGE"),
            ),
            (
                &[BlockerCode::NoReplicas],
                Some("update shop/cart --replicas N"),
            ),
        ] {
            let expected = command.map(|it| format!("viridian deployment {it}"));
            assert_eq!(next_step(&blocked(codes)), expected, "{codes:?}");
        }
    }
}
