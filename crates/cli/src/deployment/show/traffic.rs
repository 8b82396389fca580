//! A traffic table as text.

use viridian_proto::v1::{TrafficEndpoint, TrafficTable};

use super::{OutputStyle, RevisionNames};
use crate::{
    elide, enum_names,
    permille::to_words,
    table::{TableColumn, clean, counted, table},
};

/// The endpoints that get requests, those that could, and the version of the table.
pub(crate) fn traffic_table(
    traffic: &TrafficTable,
    revisions: &RevisionNames,
    style: OutputStyle,
) -> String {
    let mut head = vec![format!(
        "{}epoch {}, {}, revision {}",
        of(traffic),
        traffic.epoch,
        counted(traffic.endpoints.len() as u64, "endpoint"),
        revisions.full(&traffic.revision_id),
    )];
    head.extend(split(traffic, revisions));
    if let Some(width) = style.width {
        head = head.iter().map(|line| elide::end(line, width)).collect();
    }
    if traffic.endpoints.is_empty() {
        head.push(style.bad("no route serves"));
    }
    let head = head.join("\n");
    // Of all the traffic: `ratio` compares the endpoints with one another only.
    let total: f64 = traffic.endpoints.iter().map(|it| it.ratio).sum();
    let serving = traffic.endpoints.iter();
    let serving = serving.map(|it| row(it, share(it.ratio / total), revisions));
    let preview = traffic.preview.iter();
    let preview = preview.map(|it| row(it, style.waiting("preview"), revisions));
    let rows: Vec<_> = serving.chain(preview).collect();
    if rows.is_empty() {
        return head;
    }
    let header = [
        TableColumn::name("ADDRESS", 14),
        TableColumn::whole("SHARE"),
        TableColumn::optional("REVISION"),
        TableColumn::name("ROUTE", 12),
    ];
    format!("{head}\n\n{}", table(&header, rows, style.width))
}

fn row(endpoint: &TrafficEndpoint, share: String, revisions: &RevisionNames) -> Vec<String> {
    vec![
        clean(&endpoint.address),
        share,
        revisions.number(&endpoint.revision_id),
        endpoint.route_id.clone(),
    ]
}

/// `33.3%` of all requests.
fn share(part: f64) -> String {
    let percent = format!("{:.1}", part * 100.0);
    format!("{}%", percent.trim_end_matches(".0"))
}

/// Whose table it is, and what its endpoints speak: `shop/cart (HTTP2): `. Empty for a server
/// of before, which does not say it.
fn of(traffic: &TrafficTable) -> String {
    if traffic.name.is_empty() {
        return String::new();
    }
    let protocol = enum_names::protocol(traffic.protocol());
    format!("{}/{} ({protocol}): ", traffic.project, traffic.name)
}

/// The shares of a canary's revisions, if it has any.
fn split(traffic: &TrafficTable, revisions: &RevisionNames) -> Option<String> {
    let shares = traffic.weights.iter().map(|it| {
        let mut text = format!(
            "{} to revision {}",
            to_words(it.weight_permille),
            revisions.number(&it.revision_id),
        );
        // What the one lacks the other has: it asked for less.
        if it.asked_permille > it.weight_permille {
            text += &format!(" ({} asked for)", to_words(it.asked_permille));
        }
        text
    });
    let shares: Vec<_> = shares.collect();
    (!shares.is_empty()).then(|| shares.join(", "))
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{DeploymentProtocol, RevisionWeight, TrafficEndpoint, TrafficTable};

    use super::{
        super::{RevisionNames, fixture},
        traffic_table,
    };

    fn endpoint(number: u8, revision: &str, ratio: f64) -> TrafficEndpoint {
        TrafficEndpoint {
            route_id: format!("route-{number}"),
            address: format!("10.0.0.{number}:80"),
            ratio,
            revision_id: revision.to_owned(),
            weight_permille: 0,
        }
    }

    fn one_endpoint() -> TrafficTable {
        TrafficTable {
            deployment_id: "d".to_owned(),
            project: "shop".to_owned(),
            name: "cart".to_owned(),
            protocol: DeploymentProtocol::Http2.into(),
            epoch: 7,
            revision_id: "rev-1".to_owned(),
            endpoints: vec![endpoint(1, "rev-1", 1.0)],
            ..TrafficTable::default()
        }
    }

    #[test]
    fn an_endpoint_is_a_line() {
        let revisions = RevisionNames::new(&fixture::revisions());
        let mut table = one_endpoint();
        assert_eq!(
            traffic_table(&table, &revisions, fixture::plain()),
            "shop/cart (HTTP2): epoch 7, 1 endpoint, revision 1 (cart:1), rev-1\n\n\
             ADDRESS      SHARE  REVISION  ROUTE\n10.0.0.1:80  100%   1         route-1"
        );
        table.endpoints.clear();
        assert_eq!(
            traffic_table(&table, &revisions, fixture::plain()),
            "shop/cart (HTTP2): epoch 7, 0 endpoints, revision 1 (cart:1), rev-1\nno route serves"
        );
        table.name.clear();
        assert_eq!(
            traffic_table(&table, &revisions, fixture::plain()),
            "epoch 7, 0 endpoints, revision 1 (cart:1), rev-1\nno route serves",
            "of a server of before"
        );
    }

    #[test]
    fn the_shares_of_a_canary_are_of_all_requests() {
        let revisions = RevisionNames::new(&fixture::revisions());
        let weight = |revision: &str, asked_permille, weight_permille| RevisionWeight {
            revision_id: revision.to_owned(),
            asked_permille,
            weight_permille,
        };
        let mut table = one_endpoint();
        // 12.5 % to one of the second revision, and the rest to two of the first.
        let ratio = 0.125 / 0.4375;
        table.endpoints.push(endpoint(2, "rev-1", 1.0));
        table.endpoints.push(endpoint(3, "rev-2", ratio));
        table.weights = vec![weight("rev-1", 750, 875), weight("rev-2", 250, 125)];
        table.preview = vec![endpoint(4, "rev-2", 1.0)];
        let shown = traffic_table(&table, &revisions, fixture::plain());
        insta::assert_snapshot!("canary", shown);
        for width in [80, 60] {
            let shown = traffic_table(&table, &revisions, fixture::narrow(width));
            insta::assert_snapshot!(format!("canary_{width}"), shown);
        }
    }
}
