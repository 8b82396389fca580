//! The share follows what is ready, in the very transaction of each report; and the number of
//! replicas.

use rstest_reuse::apply;
use viridian_strategy::{RouteHealth, RouteStatus, SubStep};

use super::{CanaryRun, kill, step};
use crate::{
    HealthReport,
    tests::fixture::{Engine, engines, report},
};

/// One of four is killed at 40 %, then all of them, and they come back.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a3_a_share_is_that_of_the_ready_replicas(#[case] engine: Engine) {
    let run = CanaryRun::at_first_step(engine, 10, [step(400, 600)]).await;
    let green = run.green_routes().await;
    assert_eq!(green.len(), 4);
    let mut epoch = run.table().await.epoch;
    for (killed, expected) in green.iter().zip([300, 200, 100, 0]) {
        kill(&run.fixture, &[*killed]).await;
        // Before anyone looks.
        assert_eq!(run.weights().await, Some([1_000 - expected, expected]));
        epoch += 1;
        assert_eq!(run.table().await.epoch, epoch, "told once, by its report");
        assert_eq!(
            run.progress().await.weight,
            Some(400),
            "what is asked stays"
        );
        run.check().await;
    }
    let table = run.table().await;
    assert!(
        table
            .endpoints
            .iter()
            .all(|it| it.revision == Some(run.blue))
    );
    run.fixture.settle().await;
    assert_eq!(run.sub_step().await, Some(SubStep::Provisioning));
    assert_eq!(run.green_routes().await.len(), 4, "they are replaced");
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([600, 400]));
    assert_eq!(run.sub_step().await, Some(SubStep::Shifting));
    run.check().await;
}

/// A flap of a health takes its part away and gives it back, one table each.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a3_a_flap_moves_the_share_there_and_back(#[case] engine: Engine) {
    let run = CanaryRun::at_first_step(engine, 10, [step(400, 600)]).await;
    let green = run.green_routes().await;
    let epoch = run.table().await.epoch;
    run.fixture.health(&green[..2], RouteHealth::Degraded).await;
    assert_eq!(run.weights().await, Some([800, 200]));
    run.fixture.health(&green[..2], RouteHealth::Healthy).await;
    assert_eq!(run.weights().await, Some([600, 400]));
    assert_eq!(
        run.table().await.epoch,
        epoch + 2,
        "two reports, two tables"
    );
    run.fixture.settle().await;
    assert_eq!(run.table().await.epoch, epoch + 2, "a look adds none");
    run.check().await;
}

/// Blue's checker fails for a moment: the canary gets no more. Without any blue it has all.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a3_an_unready_blue_puts_nothing_more_on_green(#[case] engine: Engine) {
    let run = CanaryRun::at_first_step(engine, 4, [step(250, 600)]).await;
    let blue = run.fixture.routes_of(run.id, run.blue).await;
    run.fixture.health(&blue, RouteHealth::Unhealthy).await;
    assert_eq!(run.weights().await, Some([750, 250]), "blue fails open");
    assert_eq!(run.table().await.endpoints.len(), 5);
    run.check().await;
    kill(&run.fixture, &blue).await;
    assert_eq!(run.weights().await, Some([0, 1_000]));
    assert_eq!(run.table().await.endpoints.len(), 1);
    run.check().await;
    run.fixture.settle().await;
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([750, 250]));
    run.check().await;
}

/// 5 % of one is one, and its share is 5 %.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a23_one_replica_has_one_canary(#[case] engine: Engine) {
    let run = CanaryRun::at_first_step(engine, 1, [step(50, 60)]).await;
    assert_eq!(run.green_routes().await.len(), 1);
    assert_eq!(run.weights().await, Some([950, 50]));
    let ratios: Vec<f64> = run
        .table()
        .await
        .endpoints
        .iter()
        .map(|it| it.ratio)
        .collect();
    assert_eq!(ratios.len(), 2);
    let share = ratios.iter().fold(0.0_f64, |least, ratio| match least {
        0.0 => *ratio,
        least => least.min(*ratio),
    });
    assert!((share / (1.0 + share) - 0.05).abs() < 1e-9, "{ratios:?}");
    run.check().await;
}

/// Without replicas nothing passes by time alone, and it goes on with the first of them.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a23_without_replicas_it_waits(#[case] engine: Engine) {
    let mut run = CanaryRun::at_first_step(engine, 4, [step(250, 60), step(500, 60)]).await;
    run.scale(0).await;
    assert!(run.green_routes().await.is_empty());
    assert_eq!(run.active(run.green().await).await, 0);
    run.check().await;
    run.pass(10_000).await;
    assert_eq!(run.progress().await.step, 1);
    assert_eq!(run.sub_step().await, Some(SubStep::Provisioning));
    run.scale(4).await;
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([750, 250]));
    run.check().await;
}

/// More or fewer are asked for at 25 %: no share falls by it, and no replica is one too many.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a23_the_number_of_replicas_changes_at_25_percent(#[case] engine: Engine) {
    let mut run = CanaryRun::at_first_step(engine, 8, [step(250, 60), step(500, 60)]).await;
    assert_eq!(run.green_routes().await.len(), 2);
    run.scale(16).await;
    assert_eq!(run.green_routes().await.len(), 4);
    assert_eq!(run.weights().await, Some([750, 250]), "while more come up");
    run.check().await;
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([750, 250]));
    assert_eq!(run.progress().await.scaled_for, 4);
    let green = run.green_routes().await;
    run.fixture
        .health(&green[..2], RouteHealth::Unhealthy)
        .await;
    assert_eq!(run.weights().await, Some([875, 125]), "two of four");
    run.fixture.health(&green[..2], RouteHealth::Healthy).await;
    run.pass(30).await;
    run.scale(4).await;
    assert_eq!(run.green_routes().await.len(), 1);
    assert_eq!(run.weights().await, Some([750, 250]));
    assert_eq!(run.active(run.blue).await, 4);
    run.check().await;
    run.pass(60).await;
    assert_eq!(run.progress().await.towards, 2, "it goes on");
    run.check().await;
}

/// The largest one.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a23_a_thousand_replicas(#[case] engine: Engine) {
    let steps = [step(1, 5), step(50, 5), step(999, 5)];
    let mut run = CanaryRun::at_first_step(engine, 1_000, steps).await;
    for (green, share) in [(1, 1), (50, 50), (999, 999)] {
        run.bring_up().await;
        assert_eq!(run.green_routes().await.len(), green);
        assert_eq!(run.weights().await, Some([1_000 - share, share]));
        run.pass(5).await;
    }
    run.check().await;
    let ill = run.green_routes().await;
    let seen = ill[..500].iter();
    let seen = seen.map(|&route| HealthReport::new(route, RouteHealth::Unhealthy));
    let taken = run.fixture.db.report_health(seen.collect()).await;
    taken.expect("they are taken");
    // 999 ‰ of 499 of 999, rounded up.
    assert_eq!(run.weights().await, Some([501, 499]));
    run.check().await;
}

/// A route that is not named in the table says RUNNING a second time: nothing moves by it.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a3_a_report_that_changes_nothing_makes_no_table(#[case] engine: Engine) {
    let run = CanaryRun::at_first_step(engine, 4, [step(500, 600)]).await;
    let (table, before) = (run.table().await, run.get().await);
    let again = run.green_routes().await;
    let again = again.iter().map(|&it| report(it, RouteStatus::Running));
    let taken = run.fixture.db.report_statuses(again.collect()).await;
    taken.expect("they are taken");
    run.fixture.settle().await;
    assert_eq!((run.table().await, run.get().await), (table, before));
}
