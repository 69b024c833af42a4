//! Tests of the planner's choices, and of what they do not depend on.

use super::*;
use crate::{
    OutputShape,
    plan::{layers::tile_kind, schedule::TileSharing},
};

#[test]
fn exact_uses_small_tiles_only() {
    for height in 1..60 {
        for width in 1..60 {
            let kind = tile_kind((height, width), false, Accuracy::Exact);
            assert!(kind.outputs() <= 6, "{kind}");
            assert_eq!(kind == TileKind::Z3, (height, width) == (3, 3));
        }
    }
}

#[test]
fn tiles_are_paired_where_it_pays_and_is_allowed() {
    let paired = |accuracy, side: usize| {
        let case = Case::random(0, (side, side), &[(256, false), (256, false), (128, false)], 1);
        let network = case.network(best_isa(), accuracy, None, 1, 1);
        network.plan().layers.iter().map(|layer| layer.strassen).collect::<Vec<_>>()
    };
    assert_eq!(paired(Accuracy::Fast, 12), [false, true, false]);
    assert_eq!(paired(Accuracy::Fast, 6), [false; 3], "a map of one tile");
    assert_eq!(paired(Accuracy::Exact, 12), [false; 3]);
}

#[test]
fn kinds_do_not_depend_on_batch_or_threads() {
    let case = Case::random(0, (96, 64), &[(16, false), (16, true), (16, true), (16, false)], 1);
    let kinds = |batch_size, threads| {
        let network = case.network(best_isa(), Accuracy::Fast, None, batch_size, threads);
        network.plan().layers.iter().map(|layer| layer.method).collect::<Vec<_>>()
    };
    assert_eq!(kinds(1, 1), kinds(100, 3));
}

#[test]
fn blocks_fit_the_memory_planned_for_them() {
    for (channels, tiles) in
        [((64, 64), 12), ((64, 128), 18), ((128, 256), 24), ((256, 256), 48), ((512, 512), 96)]
    {
        for total in 1..1000 {
            for threads in 1..9 {
                match TileSharing::new(channels, total, false, threads) {
                    TileSharing::Blocks(blocks) => assert!(total.div_ceil(blocks) <= tiles),
                    TileSharing::Steps(parts) => {
                        assert!(threads > 1 && total.div_ceil(parts) <= 96);
                    }
                }
            }
        }
    }
}

#[test]
fn a_plan_names_its_numerics() {
    let case = Case::random(0, (33, 48), &[(16, true), (20, false)], 1);
    let network = case.network(Isa::Portable, Accuracy::Exact, None, 1, 1);
    assert_eq!(network.plan().numerics(), "winograd5-exact");
    assert_eq!(network.output_shapes(), [OutputShape { channels: 20, size: Some((16, 24)) }]);
    assert_eq!(network.plan().to_string(), "exact (portable): 3-16@33x48:F4 rows 16-20@16x24:F6");
}

#[test]
fn accuracy_is_written_as_it_is_read() {
    for accuracy in [Accuracy::Exact, Accuracy::Fast] {
        assert_eq!(accuracy.to_string().parse(), Ok(accuracy));
    }
    let error = "faster".parse::<Accuracy>().unwrap_err();
    assert_eq!(error.to_string(), "unknown accuracy \"faster\", expected \"exact\" or \"fast\"");
}
