//! Whatever bytes decode to, parsing it ends: with a value, or with violations
//! that fit into a header.

use std::fmt::Debug;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::{collection::vec, prelude::*, sample::select};
use prost::Message;
use viridian_feeds::WatchTarget;
use viridian_proto::v1;

use super::{
    Violations, deployment::parse_new, reference::parse_deployment, reference::parse_revision,
    revision::parse_spec, route::parse_healths, route::parse_statuses, update::parse_update,
};
use crate::{
    paging::PageRequest,
    resume::{MAX_DEPLOYMENTS, ResumeToken},
    selector::LabelSelector,
    token::TokenSeal,
};

proptest! {
    // One in six is a message at all.
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn creations(bytes in bytes()) {
        parse(&bytes, |wire: &v1::CreateDeploymentRequest, violations| drop(parse_new(wire, violations)));
    }

    #[test]
    fn updates(bytes in bytes()) {
        parse(&bytes, |wire: &v1::UpdateDeploymentRequest, violations| drop(parse_update(wire, violations)));
    }

    #[test]
    fn specs(bytes in bytes()) {
        parse(&bytes, |wire: &v1::RevisionSpec, violations| drop(parse_spec("spec", wire, violations)));
    }

    #[test]
    fn reports(bytes in bytes()) {
        parse(&bytes, |wire: &v1::ReportRouteStatusesRequest, violations| {
            drop(parse_statuses(&wire.reports, violations));
        });
        parse(&bytes, |wire: &v1::ReportRouteHealthRequest, violations| {
            drop(parse_healths(&wire.reports, violations));
        });
    }

    /// Of earlier programs and of this one: whatever is taken names few deployments.
    #[test]
    fn tokens(bytes in bytes(), head in select(vec![vec![], vec![0], vec![8, 1]])) {
        let text = URL_SAFE_NO_PAD.encode([head, bytes].concat());
        if let Ok((token, _)) = ResumeToken::parse(&text, &TokenSeal::of_test(9))
            && let WatchTarget::Deployments(ids) = token.target
        {
            prop_assert!(ids.len() <= MAX_DEPLOYMENTS);
        }
    }

    #[test]
    fn texts(text in any::<String>()) {
        let mut violations = Violations::default();
        let _ = parse_deployment("deployment", &text, &mut violations);
        let _ = parse_revision("revision", &text, &mut violations);
        let _ = PageRequest::<i64>::parse(0, &text, &[], &TokenSeal::of_test(9), &mut violations);
        if let Err(why) = LabelSelector::parse(&text) {
            violations.add("label_selector", why);
        }
        fits(violations);
    }
}

/// Pieces of the wire format, right and wrong, in any order.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let tag =
        (1..14_u8, select(vec![0_u8, 1, 2, 5])).prop_map(|(field, kind)| vec![field << 3 | kind]);
    let text = select(vec!["web", "a/b", "\0", "-1", "1", "é"]);
    let text = text.prop_map(|text| [&[text.len() as u8], text.as_bytes()].concat());
    let varint = select(vec![
        vec![0],
        vec![1],
        vec![0xff, 0xff, 0x7f],
        [vec![0xff; 9], vec![1]].concat(),
    ]);
    let inner = vec(any::<u8>(), 0..20).prop_map(|inner| [vec![inner.len() as u8], inner].concat());
    let field =
        (tag, prop_oneof![text, varint, inner]).prop_map(|(tag, value)| [tag, value].concat());
    let nested = vec(field.clone(), 0..6).prop_map(|fields| {
        let fields = fields.concat();
        [vec![fields.len() as u8], fields].concat()
    });
    let outer =
        (1..14_u8, nested).prop_map(|(field, inner)| [vec![field << 3 | 2], inner].concat());
    vec(prop_oneof![field, outer], 0..12).prop_map(|fields| fields.concat())
}

fn parse<M: Message + Default + Debug>(bytes: &[u8], parse: impl Fn(&M, &mut Violations)) {
    let Ok(wire) = M::decode(bytes) else { return };
    let mut violations = Violations::default();
    parse(&wire, &mut violations);
    fits(violations);
}

fn fits(violations: Violations) {
    if let Err(status) = violations.finish() {
        assert!(status.details().len() < 2_600, "{status:?}");
    }
}
