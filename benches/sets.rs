//! Promotions of sets beside promotions of one deployment, each alone on the machine.

use std::time::{Duration, Instant};

use uuid::Uuid;
use viridian_store::{PromoteMember, Request, RequestContext, RequestId, Store};
use viridian_strategy::DeploymentId;

use crate::{
    promotions::tell,
    stage::{Stage, call},
};

/// Promotes one deployment after the other, then sets of 10 and of 50, and prints the times.
pub(crate) async fn sets(mut stage: Stage, title: &str) {
    let db = Store::open(&stage.url).await.expect("it opens");
    stage.create(&db, DEPLOYMENTS, ROUTES).await;
    stage.deploy(&db).await;
    stage.keep().await;
    tell(&format!(
        "\n{title}; sets of deployments of {ROUTES} + {ROUTES} routes, one call at a time"
    ));
    tell("members  calls       p50       p99  of one (p50)");
    let mut one = None;
    for members in [1, 10, 50] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            stage.rewind().await;
            for ids in stage.ids.chunks(members) {
                let begin = Instant::now();
                promote(&db, ids).await;
                times.push(begin.elapsed());
            }
        }
        times.sort_unstable();
        let [p50, p99] = [50, 99].map(|percent| times[(times.len() - 1) * percent / 100]);
        let one = one.get_or_insert(p50);
        tell(&format!(
            "{members:7}  {:5}  {:5.2} ms  {:5.2} ms  {:6.2}",
            times.len(),
            millis(p50),
            millis(p99),
            p50.as_secs_f64() / one.as_secs_f64(),
        ));
    }
}

async fn promote(db: &Store, ids: &[DeploymentId]) {
    let terms = RequestContext {
        request: Some(Request {
            id: RequestId(Uuid::now_v7()),
            method: "Promote",
            fingerprint: vec![7; 32],
        }),
        ..call()
    };
    if let [id] = ids {
        let promoted = db.complete_manual_promote(*id, None, &terms).await;
        promoted.expect("it is promoted");
        return;
    }
    let members: Vec<_> = ids.iter().map(|id| PromoteMember::of(*id)).collect();
    let promoted = db.promote_deployments(&members, &terms).await;
    promoted.expect("all are promoted");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const DEPLOYMENTS: usize = 500;
const ROUTES: u32 = 8;
const ROUNDS: usize = 10;
