//! Evaluations a second, at each point of a deployment's life:
//! `cargo bench -p viridian-strategy`.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput};

use self::measured::MeasuredCase;

#[path = "../tests/measured/mod.rs"]
mod measured;

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
    for case in MeasuredCase::at_rest(size)
        .iter()
        .chain(&MeasuredCase::moving(size))
    {
        group.bench_with_input(BenchmarkId::new(case.name, size), case, |bencher, case| {
            // Looked at where it is: to hand it out would copy it once more.
            bencher.iter(|| {
                black_box(&black_box(case).evaluate());
            });
        });
    }
    group.finish();
}
