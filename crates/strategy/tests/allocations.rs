//! Where nothing is to change, deciding so allocates nothing. A binary of its
//! own: allocations are counted by its global allocator, for each thread.

use std::hint::black_box;

use allocation_counter::measure;
use viridian_strategy::verbs;

use self::scenes::Scene;

mod scenes;

const SIZES: [usize; 2] = [8, 1_000];

#[test]
fn nothing_is_allocated_where_nothing_changes() {
    for scene in SIZES.into_iter().flat_map(Scene::at_rest) {
        let before = black_box(&scene).evaluate();
        assert!(before.transition.changes.is_empty(), "{}", scene.name);
        assert_eq!(before.transition.state, scene.deployment.state);
        assert_eq!(evaluate_counted(&scene), 0, "{}", scene.name);
    }
}

/// The lists of what changes grow by doubling.
#[test]
fn where_routes_change_only_lists_are_allocated() {
    for scene in Scene::moving(1_000) {
        let expected = if scene.name == "creating" {
            0..=0
        } else {
            1..=20
        };
        let counted = evaluate_counted(&scene);
        assert!(expected.contains(&counted), "{}: {counted}", scene.name);
    }
}

#[test]
fn a_refused_promotion_allocates_only_what_it_says() {
    for scene in SIZES.into_iter().flat_map(Scene::at_rest) {
        let mut refused = false;
        let allocations = measure(|| {
            let Scene {
                deployment,
                routes,
                policy,
                now,
                ..
            } = black_box(&scene);
            refused = verbs::promote(deployment, routes, policy, *now).is_err();
        });
        assert_eq!(refused, scene.name != "gate");
        if refused {
            assert!(allocations.count_total <= 1, "{}", scene.name);
        }
    }
}

fn evaluate_counted(scene: &Scene) -> u64 {
    let allocations = measure(|| {
        black_box(black_box(scene).evaluate());
    });
    allocations.count_total
}
