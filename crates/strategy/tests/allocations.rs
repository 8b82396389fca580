//! Where nothing is to change, deciding so allocates nothing. A binary of its
//! own: allocations are counted by its global allocator, for each thread.

use std::hint::black_box;

use allocation_counter::measure;
use viridian_strategy::{SubStep, verbs};

use self::measured::MeasuredCase;

mod measured;

const SIZES: [usize; 2] = [8, 1_000];

#[test]
fn nothing_is_allocated_where_nothing_changes() {
    for case in SIZES.into_iter().flat_map(MeasuredCase::at_rest) {
        let before = black_box(&case).evaluate();
        assert!(before.transition.actions.is_empty(), "{}", case.name);
        assert_eq!(before.transition.deployment.state, case.deployment.state);
        let is_held = before.transition.deployment.state.sub_step() == Some(SubStep::Shifting);
        assert_eq!(is_held, case.name == "canary, held");
        assert_eq!(evaluate_counted(&case), 0, "{}", case.name);
    }
}

/// The lists of what changes grow by doubling.
#[test]
fn where_routes_change_only_lists_are_allocated() {
    for case in MeasuredCase::moving(1_000) {
        let expected = if case.name == "creating" {
            0..=0
        } else {
            1..=20
        };
        let counted = evaluate_counted(&case);
        assert!(expected.contains(&counted), "{}: {counted}", case.name);
    }
}

#[test]
fn a_refused_promotion_allocates_only_what_it_says() {
    for case in SIZES.into_iter().flat_map(MeasuredCase::at_rest) {
        let mut refused = false;
        let allocations = measure(|| {
            refused = verbs::promote(&black_box(&case).observed()).is_err();
        });
        // Their green is all ready.
        assert_eq!(refused, !["gate", "canary, held"].contains(&case.name));
        if refused {
            assert!(allocations.count_total <= 1, "{}", case.name);
        }
    }
}

fn evaluate_counted(case: &MeasuredCase) -> u64 {
    let allocations = measure(|| {
        black_box(black_box(case).evaluate());
    });
    allocations.count_total
}
