//! What must hold of the shares of canaries, as proxies see them.

use viridian_strategy::{FULL_WEIGHT, RevisionId};

use super::{SimulatedStore, open};
use crate::{TrafficEndpoint, TrafficTable};

impl SimulatedStore<'_> {
    /// The shares are all of the traffic, of two revisions at most; green has no more than was
    /// asked for and none without a route; and what is asked for only rises within a rollout.
    pub(super) fn shares_are_sound(&mut self, table: &TrafficTable) {
        let life = &self.lives[self.places[&table.deployment]];
        let broken = |rule: &str| life.fail(format!("{rule}: {table:?}"));
        if !table.preview.is_empty() {
            self.coverage.count("tables with a preview");
        }
        let [blue, green] = table.weights[..] else {
            if !table.weights.is_empty() {
                broken("shares of one revision, or of three");
            }
            if table.endpoints.iter().any(|it| it.ratio != 1.0) {
                broken("some have less, and nothing is shared");
            }
            return;
        };
        let revisions = (Some(blue.revision), Some(green.revision));
        if revisions != (table.revision, table.deploying) {
            broken("shares of other revisions");
        }
        if blue.weight + green.weight != FULL_WEIGHT || blue.asked + green.asked != FULL_WEIGHT {
            broken("the shares are not all of the traffic");
        }
        let of = |revision: RevisionId| {
            let routes = table.endpoints.iter();
            routes.filter(move |it| it.revision == Some(revision))
        };
        let (blues, greens) = (of(blue.revision).count(), of(green.revision).count());
        if blues + greens != table.endpoints.len() {
            broken("a third revision has traffic");
        }
        // With none of blue running, all goes to what is ready of green.
        if green.weight > green.asked && blues > 0 {
            broken("a larger share than asked for");
        }
        if (green.weight > 0) != (greens > 0) {
            broken("a share without a route, or a route without one");
        }
        let ratios = |routes: &mut dyn Iterator<Item = &TrafficEndpoint>| -> f64 {
            routes.map(|it| it.ratio).sum()
        };
        let part = ratios(&mut of(green.revision)) / ratios(&mut table.endpoints.iter());
        if (part * f64::from(FULL_WEIGHT) - f64::from(green.weight)).abs() > 1e-6 {
            broken("the ratios split otherwise");
        }
        self.coverage.count("shares in tables");
        if green.weight < green.asked {
            self.coverage.count("shares that are only a part");
        }
        let now = (table.split_seed, green.asked);
        match self.asked.insert(table.deployment, now) {
            Some((seed, asked)) if seed == now.0 && asked > now.1 => {
                broken("the share that is asked for falls");
            }
            Some((seed, asked)) if seed == now.0 && asked < now.1 => {
                self.coverage.count("shares that rose");
            }
            _ => {}
        }
    }

    /// Without a share no route of green is ACTIVE: no way back leaves one. And no third revision
    /// ever has an ACTIVE route.
    pub(super) async fn nothing_strays(&self) {
        let now = self.time.now();
        for (strays, rule) in [
            (WITHOUT_A_SHARE, "without a share"),
            (THIRD, "of a third revision"),
        ] {
            let strays = open(&self.fixture).number(strays).await;
            assert_eq!(strays, 0, "ACTIVE routes {rule} at {now}");
        }
    }
}

const WITHOUT_A_SHARE: &str = "SELECT COUNT(*) AS n FROM routes \
    JOIN deployments ON deployments.id = deployment_id \
    WHERE traffic_status = 'ACTIVE' AND revision_id = deploying_revision_id \
    AND COALESCE(weight_permille, 0) = 0 AND CAST(policy AS text) NOT LIKE '%olling%'";

const THIRD: &str = "SELECT COUNT(*) AS n FROM routes \
    JOIN deployments ON deployments.id = deployment_id \
    WHERE traffic_status = 'ACTIVE' AND CAST(policy AS text) NOT LIKE '%olling%' \
    AND revision_id <> current_revision_id \
    AND revision_id <> COALESCE(deploying_revision_id, current_revision_id)";
