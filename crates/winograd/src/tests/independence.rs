//! Tests that features are the same to the last bit for every batch and number of threads.

use proptest::{prelude::*, sample::select};

use super::*;
use crate::{
    kernel::tile_transform::TileGrid,
    plan::schedule::{OWN_TILES, Schedule, own_tiles},
};

/// Layers for which every kind of step is used: large maps, small maps, and shared weights.
const CHANNELS: [(usize, bool); 7] =
    [(16, false), (32, true), (32, false), (64, true), (256, false), (512, true), (32, false)];

fn check(case: &Case, isa: Isa, accuracy: Accuracy, threads: &[usize]) {
    let n = case.images.len() / case.image();
    let case = &Case { few_tiles: Some(0), ..case.clone() };
    let mut single = case.network(isa, accuracy, None, 1, 1);
    let images = case.images.chunks_exact(case.image());
    let expected: Vec<f32> = images.flat_map(|image| case.forward(&mut single, image)).collect();
    let features = expected.len() / n;
    // Weights that are stored or, for few tiles or for all, transformed on the way.
    let ways = [(1, Some(0)), (SMALLEST_SHARED_PRODUCT, Some(8)), (1, Some(usize::MAX))];
    for (&threads, (smallest_shared_product, few_tiles)) in
        threads.iter().flat_map(|threads| ways.map(|way| (threads, way)))
    {
        let case = Case { smallest_shared_product, few_tiles, ..case.clone() };
        let mut network = case.network(isa, accuracy, None, n, threads);
        for first in 0..n {
            let actual = case.forward(&mut network, &case.images[first * case.image()..]);
            assert_eq!(
                actual,
                expected[first * features..],
                "images {first} to {n} on {threads} threads, products shared from \
                 {smallest_shared_product}, few tiles up to {few_tiles:?}, {accuracy}, {isa:?}"
            );
        }
    }
}

#[test]
fn small_images() {
    for isa in instruction_sets() {
        for accuracy in [Accuracy::Exact, Accuracy::Fast] {
            check(&Case::random(1, (35, 50), &CHANNELS, 9), isa, accuracy, &[1, 2, 3, 4]);
        }
    }
}

/// Maps that are too large for each thread to have its own.
#[test]
fn large_images() {
    let case = Case::random(2, (112, 160), &[(64, true), (16, false)], 3);
    check(&case, best_isa(), Accuracy::Fast, &[1, 2, 4]);
}

/// Threads apart with different numbers of images, which the groups do not divide evenly.
#[test]
fn many_images() {
    let channels = [(16, false), (16, true), (32, true), (32, true), (16, false)];
    let case = Case::random(5, (18, 16), &channels, 35);
    for images in [33, 35] {
        let case = Case { images: case.images[..images * case.image()].to_vec(), ..case.clone() };
        check(&case, best_isa(), Accuracy::Fast, &[2, 3]);
    }
}

/// More images than a chunk has.
#[test]
fn several_chunks() {
    let case = Case::random(3, (260, 500), &[(16, true), (16, true), (16, false)], 6);
    let network = case.network(best_isa(), Accuracy::Fast, None, 6, 1);
    assert!(network.plan().chunk < 6);
    check(&case, best_isa(), Accuracy::Fast, &[1, 3]);
}

#[test]
fn a_network_can_be_used_again() {
    let case = Case::random(4, (33, 47), &CHANNELS, 2);
    let mut network = case.network(best_isa(), Accuracy::Fast, None, 2, 2);
    let first = case.forward(&mut network, &case.images);
    let mut other = case.images.clone();
    other.iter_mut().for_each(|v| *v = 3.0 - *v);
    assert_ne!(case.forward(&mut network, &other), first);
    assert_eq!(case.forward(&mut network, &case.images), first);
}

/// Pairs of tiles in images with an odd number of tiles.
#[test]
fn pairs_of_tiles() {
    let channels = [(256, false), (256, true), (256, false)];
    let mut case = Case::random(6, (20, 22), &channels, 5);
    case.images.iter_mut().for_each(|v| *v *= 100.0);
    let network = case.network(best_isa(), Accuracy::Fast, None, 1, 1);
    assert!(network.plan().layers.iter().any(|layer| layer.strassen));
    check(&case, best_isa(), Accuracy::Fast, &[1, 2, 3]);
}

/// Whether all images go through a chain of this number of layers on this number of threads.
fn has_chain(case: &Case, kind: Option<TileKind>, threads: usize, layers: usize) -> bool {
    let images = case.images.len() / case.image();
    let network = case.network(best_isa(), Accuracy::Fast, kind, images, threads);
    let schedule = Schedule::new(network.plan(), images, threads);
    schedule
        .runs()
        .flatten()
        .filter(|stage| !stage.banded)
        .any(|stage| stage.groups.iter().any(|chain| chain.len() == layers))
}

/// Checks that all images on `threads` threads give the same features as one by one on two threads, which
/// use no chains.
fn check_chains(case: &Case, kind: Option<TileKind>, threads: usize) {
    let images = case.images.len() / case.image();
    let mut all = case.network(best_isa(), Accuracy::Fast, kind, images, threads);
    let mut single = case.network(best_isa(), Accuracy::Fast, kind, 1, 2);
    let schedule = Schedule::new(single.plan(), 1, 2);
    assert!(
        schedule.runs().flatten().flat_map(|stage| &stage.groups).all(|chain| chain.len() == 1)
    );
    let expected = case.images.chunks_exact(case.image());
    let expected: Vec<f32> = expected.flat_map(|image| case.forward(&mut single, image)).collect();
    assert!(case.forward(&mut all, &case.images) == expected);
}

/// Maps of 3x3, and pairs of tiles in the first and in the last layer of a chain. Threads and blocks do not
/// divide the number of images evenly.
#[test]
fn chains_of_many_channels() {
    let early = [(16, true), (256, true)];
    for (side, chain) in [(12, [512, 32, 16]), (30, [256, 64, 16]), (30, [32, 256, 256])] {
        let chain = chain.map(|channels| (channels, false));
        let channels: Vec<_> = early.into_iter().chain(chain).collect();
        let case = Case::random(7, (side, side), &channels, 35);
        assert!(has_chain(&case, None, 2, 3), "{side} px");
        check_chains(&case, None, 2);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// One thread takes an image through the early layers in bands of rows, two threads take a single
    /// image layer by layer.
    #[test]
    fn bands_of_rows(
        seed: u64,
        height in 3usize..300,
        more in 0usize..8,
        pools: [bool; 4],
        kind in select(kinds()),
        strassen: bool,
        few_tiles in select(vec![0, usize::MAX]),
    ) {
        let width = ((1usize << 20) / (32 * 4) / (height + 2) + more).max(8);
        let mut room = height.min(width);
        let channels = [32, 32, 48, 16].into_iter().zip(pools).map(|(channels, pool)| {
            let pool = pool && room >= 2;
            room /= if pool { 2 } else { 1 };
            (channels, pool)
        });
        let channels: Vec<_> = channels.chain([(16, false)]).collect();
        let mut case = Case::random(seed, (height, width), &channels, 1);
        case.strassen = strassen;
        case.few_tiles = Some(few_tiles);
        let features = |threads| {
            let isa = best_isa();
            let mut network = case.network(isa, Accuracy::Fast, Some(kind), 1, threads);
            let schedule = Schedule::new(network.plan(), 1, threads);
            assert_eq!(schedule.runs().flatten().any(|stage| stage.banded), threads == 1);
            let image = case.images.clone();
            // This pass leaves the end of an image in the windows.
            case.forward(&mut network, &image);
            case.forward(&mut network, &image)
        };
        prop_assert_eq!(features(1), features(2));
    }

    /// Each thread takes its images through a chain of layers in blocks, two threads take a single
    /// image layer by layer.
    #[test]
    fn chains_of_layers(
        seed: u64,
        height in 1usize..25,
        width in 1usize..25,
        images in 3usize..7,
        threads in 1usize..4,
        before in select(vec![16, 32]),
        channels in proptest::collection::vec(select(vec![16, 20, 32, 64]), 4),
        kind in select(kinds()),
        pool: bool,
        strassen: bool,
        few_tiles in select(vec![0, 8, usize::MAX]),
    ) {
        let pool = pool && height >= 2 && width >= 2;
        let chain = [false, false, false, pool];
        // Two pools before, since early stages take one image at a time.
        let early = [(16, true), (before, true)];
        let channels: Vec<_> = early.into_iter().chain(channels.into_iter().zip(chain)).collect();
        let size = (4 * height + 1, 4 * width);
        let mut case = Case::random(seed, size, &channels, images * threads);
        case.strassen = strassen;
        case.few_tiles = Some(few_tiles);
        let tiles = TileGrid::new(height, width, kind.outputs()).per_image();
        let expected = images * tiles >= OWN_TILES && tiles <= 2 * own_tiles(64, 64);
        prop_assert_eq!(has_chain(&case, Some(kind), threads, 4), expected);
        check_chains(&case, Some(kind), threads);
    }
}
