//! Evaluations a second, at each point of a deployment's life:
//! `cargo bench -p viridian-strategy`.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput};

use self::scenes::Scene;

#[path = "../tests/scenes/mod.rs"]
mod scenes;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for size in [8, 1_000] {
        evaluate(&mut criterion, size);
    }
    criterion.final_summary();
}

fn evaluate(criterion: &mut Criterion, size: usize) {
    let mut group = criterion.benchmark_group("evaluate");
    group.throughput(Throughput::Elements(1));
    for scene in Scene::at_rest(size).iter().chain(&Scene::moving(size)) {
        group.bench_with_input(
            BenchmarkId::new(scene.name, size),
            scene,
            |bencher, scene| {
                // Looked at where it is: to hand it out would copy it once more.
                bencher.iter(|| {
                    black_box(&black_box(scene).evaluate());
                });
            },
        );
    }
    group.finish();
}
