//! What is on disk: each document has the text of its golden file, on both
//! engines, and the text reads back to the same value.

mod cases;
mod golden;
mod rows;

use std::fmt::Debug;

use self::{cases::Cases, golden::Golden};
use crate::{
    documents::{Persisted, RolloutDocument, deployment_of_reply, deployments_of_reply},
    types::Json,
};

#[test]
fn every_document_has_the_text_of_its_golden_file() {
    check("policy", cases::policies());
    check("status", cases::statuses());
    check("deployment", cases::deployments());
    check("metadata", cases::all_metadata());
    check("labels", cases::all_labels());
    check("last_rollout", cases::last_rollouts());
    check("served", cases::all_served());
    check("endpoints", cases::endpoints());
    check("shares", cases::all_shares());
    check("open_entries", cases::all_open_entries());
    check("revision_spec", cases::specs());
    check("updated", cases::updated());
    check("applied", cases::applied());
    check("changes", cases::changes());
    check("promotion", cases::promotions());
    check("switched_set", cases::switched_sets());
    check("new_revision", cases::new_revisions());
    check("rolled_back", cases::roll_backs());
}

/// The others of its values are columns.
#[test]
fn every_rollout_has_the_text_of_its_golden_file() {
    let golden = Golden::read("rollout");
    let cases = [cases::rollouts(), cases::canaries()].concat();
    golden.has_exactly(cases.iter().map(|(name, _)| *name));
    for (name, rollout) in cases {
        let text = golden.text(name);
        let document = RolloutDocument::from(&rollout);
        assert_eq!(Json::text(&document).expect("it is JSON"), text, "{name}");
        let read: RolloutDocument = Json::parse(text).expect("it parses");
        let sub_step = viridian_strategy::DeploymentState::Deploying(rollout).sub_step();
        let sub_step = sub_step.expect("it is under way");
        let read = read.rollout(
            rollout.current,
            rollout.deploying,
            sub_step,
            rollout.activation,
            (rollout.canary.step, rollout.canary.weight),
        );
        assert_eq!(read, rollout, "{name}");
    }
}

/// From before zeros, empty texts and steadiness were left out or known, and from when a
/// preview was kept.
#[test]
fn documents_of_earlier_programs_are_read() {
    let golden = Golden::read("earlier");
    let read = |name, expected: &dyn Fn(&str)| expected(golden.text(name));
    read("policy", &|text| {
        let read: viridian_strategy::Policy = Json::parse(text).expect("it parses");
        let none = viridian_strategy::BlueGreen {
            max_replacements: Some(0),
            ..viridian_strategy::BlueGreen::default()
        };
        let said = viridian_strategy::Policy {
            strategy: viridian_strategy::Strategy::BlueGreen(none),
            ..viridian_strategy::Policy::default()
        };
        assert_eq!(read, said, "it keeps what it says");
    });
    read("status", &|text| {
        let read: crate::Status = Json::parse(text).expect("it parses");
        assert_eq!(read, crate::Status::default());
    });
    read("metadata", &|text| {
        let read: crate::Metadata = Json::parse(text).expect("it parses");
        assert_eq!(read, crate::Metadata::default());
    });
    read("rollout", &|text| {
        let (_, begun) = cases::rollouts().swap_remove(0);
        let read: RolloutDocument = Json::parse(text).expect("it parses");
        let sub_step = viridian_strategy::SubStep::Provisioning;
        let read = read.rollout(
            begun.current,
            begun.deploying,
            sub_step,
            begun.activation,
            (0, None),
        );
        let resumed_at = viridian_strategy::Timestamp::default();
        assert_eq!(
            read,
            viridian_strategy::Rollout {
                resumed_at,
                ..begun
            }
        );
    });
    read("deployment", &|text| {
        let read: crate::Deployment = Json::parse(text).expect("it parses");
        let served: Vec<_> = read.served.iter().collect();
        assert_eq!(served, [cases::revision(1)], "the one that it had");
        assert_eq!(read.last_rollout, None);
        assert_eq!(read.numbers, crate::RevisionNumbers::default());
        assert_eq!(read.protocol, crate::Protocol::Http1);
    });
    read("shares", &|text| {
        let read: crate::record::TableShares = Json::parse(text).expect("it parses");
        assert!(read.is_empty(), "its preview is not kept any more");
    });
    golden.has_exactly([
        "policy",
        "status",
        "metadata",
        "rollout",
        "deployment",
        "shares",
    ]);
}

/// A call that is repeated finds its deployment in whatever reply there is.
#[test]
fn every_reply_names_its_deployment() {
    for reply in [
        "updated",
        "applied",
        "promotion",
        "new_revision",
        "rolled_back",
    ] {
        for (name, text) in Golden::read(reply).iter() {
            let id = deployment_of_reply(text).expect("it parses");
            assert_eq!(id, Some(cases::deployment()), "{reply}: {name}");
            let set = deployments_of_reply(text).expect("it parses");
            assert_eq!(set, None, "{reply}: {name}");
        }
    }
}

/// And a set its members.
#[test]
fn the_reply_to_a_set_names_its_members() {
    for (name, text) in Golden::read("switched_set").iter() {
        let set = deployments_of_reply(text).expect("it parses");
        let members = vec![cases::deployment(), cases::another_deployment()];
        assert_eq!(set, Some(members), "{name}");
        let one = deployment_of_reply(text).expect("it parses");
        assert_eq!(one, None, "{name}: it is about none alone");
    }
}

/// An activation of a new revision had a reply without what an apply has.
#[test]
fn an_earlier_reply_to_a_new_revision_is_one_of_an_apply() {
    let golden = Golden::read("new_revision");
    for (name, revision) in cases::new_revisions() {
        let read: crate::Applied = Json::parse(golden.text(name)).expect("it parses");
        assert!(read.activated && !read.created && !read.aborted);
        assert_eq!(read.revision, Some(revision.revision));
    }
}

fn check<T: Persisted + Debug>(document: &str, cases: Cases<T>) {
    let golden = Golden::read(document);
    golden.has_exactly(cases.iter().map(|(name, _)| *name));
    for (name, value) in cases {
        let text = golden.text(name);
        let written = Json::text(&value).expect("it is JSON");
        assert_eq!(written, text, "{document}: {name}");
        let read: T = Json::parse(text).expect("it parses");
        assert_eq!(
            format!("{read:?}"),
            format!("{value:?}"),
            "{document}: {name}"
        );
    }
}
