//! The division of the work, and of the threads among it. It decides the speed and the memory; the numbers are the
//! same whatever is chosen here.
//!
//! ```text
//! schedule: the layers                         team: the threads
//! └─ run                                       all threads together, or each thread apart
//!    └─ stage                                  some images at a time
//!       └─ group, one of:
//!          ├─ single layer ──────┐
//!          ├─ chain of layers ───┼─ block of tiles ─ tile
//!          └─ layers in bands ───┘  └─ register block
//!             └─ band
//! ```
//!
//! - The **schedule** is the way through the network of as many images as there is memory for, a chunk.
//! - A **team** is the **threads** of a call.
//! - A **run** is consecutive stages that the team goes through in the same way: together, meeting after
//!   each layer, or apart, each thread with images of its own.
//! - A **stage** is consecutive layers up to a pool, or, with bands, up to several; so many images go
//!   through it at a time.
//! - A **group** is consecutive layers of a stage between which no whole map is kept; it ends at a tap.
//! - A **chain** is a group of layers with the same tiles, of which a thread takes a block of whole images
//!   through one layer after the other.
//! - A **band** is some rows of a layer that are computed as soon as the layer before has what they read,
//!   in a group of the first stages.
//! - A **block of tiles** is what one thread, or the team where weights are large, transforms, multiplies
//!   and transforms back at a time.
//! - A **tile** is a square of outputs that one Winograd algorithm computes; its values of one frequency
//!   are a slot.
//! - A **register block** is some slots times sixteen output channels, whose sums stay in registers.
//!
//! Maps shrink from stage to stage and weights grow, so that early stages take few images at a time, or
//! bands of rows of one image, whose maps stay in a cache, and late ones many, so that the weights are
//! read few times.

use std::{iter, ops::Range};

use crate::plan::layers::{LayerPlan, Method, Plan};

/// Stages whose maps are larger than their weights: those of the first two pools of VGG16.
const EARLY: usize = 2;

/// Bytes of the first map from which on it does not stay in a thread's second-level cache.
const CACHED_MAP: usize = 1 << 20;

/// Bytes of a map up to which each thread has images of its own in the early stages.
const OWN_MAP: usize = 32 << 20;

/// Bytes of the maps, a share of the last-level cache, that all threads work on together.
const SHARED_MAPS: usize = 8 << 20;

/// Tiles for which a thread reads the weights of a late stage by itself.
pub(crate) const OWN_TILES: usize = 16;

/// Consecutive layers up to a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) layers: Range<usize>,
    /// Images that go through the stage at a time.
    pub(crate) images: usize,
    /// Among the first, with maps larger than weights.
    pub(crate) early: bool,
    /// Each thread takes images of its own, and does not meet the others: one by one in the early
    /// stages, where a thread that is held up can take fewer; an equal share of them in the late
    /// ones, to read the weights few times.
    pub(crate) apart: bool,
    /// The layers take turns, some rows at a time, instead of one after the other.
    pub(crate) banded: bool,
    /// The layers in order, in groups: no whole map lies between two layers of a group. In a banded
    /// stage a group is run in bands of rows, else it is a chain that a thread takes a block of images
    /// through. A group ends with a tapped layer, and with the stage.
    pub(crate) groups: Vec<Range<usize>>,
}

impl Stage {
    /// Index of the first map within the stage that belongs to a thread.
    pub(crate) fn first_map(&self, thread: usize) -> usize {
        if self.apart { thread * self.images } else { 0 }
    }
}

/// Maps of a layer that there must be memory for, in images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MapCounts {
    /// Before the layer's pool.
    pub(crate) unpooled: usize,
    /// After it.
    pub(crate) maps: usize,
    /// Windows onto the maps after it, instead of whole ones.
    pub(crate) windows: usize,
    /// Maps of a few channels between the layers of the chain that begins with it, instead of whole
    /// ones.
    pub(crate) chain_maps: usize,
}

impl MapCounts {
    pub(crate) fn max(self, other: MapCounts) -> MapCounts {
        MapCounts {
            unpooled: self.unpooled.max(other.unpooled),
            maps: self.maps.max(other.maps),
            windows: self.windows.max(other.windows),
            chain_maps: self.chain_maps.max(other.chain_maps),
        }
    }
}

/// The way of some images through the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    images: usize,
    threads: usize,
    stages: Vec<Stage>,
}

impl Schedule {
    /// For `images` images and a team of `threads` threads.
    pub(crate) fn new(plan: &Plan, images: usize, threads: usize) -> Schedule {
        let ends = plan.layers.iter().enumerate().filter_map(|(index, layer)| {
            (layer.max_pool || index + 1 == plan.layers.len()).then_some(index + 1)
        });
        let mut stages: Vec<Stage> = Vec::new();
        for end in ends {
            let start = stages.last().map_or(0, |stage| stage.layers.end);
            let early = stages.len() < EARLY;
            stages.push(stage(plan, start..end, early, images, threads));
        }
        // Bands of rows go through all early stages.
        while let [first, second, ..] = &mut stages[..]
            && first.banded
            && second.banded
        {
            first.layers.end = second.layers.end;
            stages.remove(1);
        }
        for stage in &mut stages {
            stage.groups = groups(plan, stage);
        }
        Schedule { images, threads, stages }
    }

    /// Runs of stages that the threads go through apart, or together. They meet between two runs,
    /// unless they go through both apart.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &[Stage]> {
        self.stages.chunk_by(|a, b| a.apart == b.apart && (!a.apart || a.early == b.early))
    }

    /// The images of one of the shares, as many as threads, in a run apart of late stages.
    pub(crate) fn share(&self, index: usize) -> Range<usize> {
        let start = |index: usize| index * self.images / self.threads;
        start(index)..start(index + 1)
    }

    /// For each layer, the images of which there are maps at the same time.
    pub(crate) fn map_counts(&self) -> Vec<MapCounts> {
        let mut counts = Vec::new();
        for run in self.runs() {
            let teams = if run[0].apart { self.threads } else { 1 };
            for (index, stage) in run.iter().enumerate() {
                let within = teams * stage.images;
                let last = run.get(index + 1).map_or(self.images, |next| teams * next.images);
                for group in &stage.groups {
                    let inner = if stage.banded {
                        MapCounts { unpooled: within, windows: within, ..MapCounts::default() }
                    } else {
                        MapCounts::default()
                    };
                    counts.extend(iter::repeat_n(inner, group.len() - 1));
                    let maps = if group.end == stage.layers.end { last } else { within };
                    counts.push(MapCounts { unpooled: within, maps, ..MapCounts::default() });
                    if group.len() > 1 && !stage.banded {
                        counts[group.start].chain_maps = teams;
                    }
                }
            }
        }
        counts
    }
}

fn stage(plan: &Plan, layers: Range<usize>, early: bool, images: usize, threads: usize) -> Stage {
    let first = &plan.layers[0];
    let map = (first.height + 2) * (first.width + 2) * first.out_channels * size_of::<f32>();
    let last = &plan.layers[layers.end - 1];
    let tiles = match last.method {
        Method::FirstLayer => 1,
        Method::Winograd(kind) => last.tiles(kind),
    };
    // Threads with different numbers of images wait for each other at the end.
    let even = images.is_multiple_of(threads) || images >= 16 * threads;
    let worth = if early { map <= OWN_MAP } else { images / threads * tiles >= OWN_TILES };
    let apart = even && worth;
    let share = if apart { images.div_ceil(threads) } else { images };
    let at_a_time = match (early, apart) {
        (true, true) => 1,
        (true, false) => (SHARED_MAPS / map).clamp(1, images),
        (false, _) => share,
    };
    let banded = early && apart && map > CACHED_MAP;
    Stage { layers, images: at_a_time, early, apart, banded, groups: Vec::new() }
}

/// The groups of a stage's layers: in a banded stage, the layers between two taps; where threads go
/// apart, layers of the same tiles, of which a layer's products make way for the inputs of the next;
/// else single layers.
fn groups(plan: &Plan, stage: &Stage) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for layer in stage.layers.clone() {
        let joins = |before: usize| {
            let (layer, before) = (&plan.layers[layer], &plan.layers[before]);
            !before.tapped && (stage.banded || stage.apart && follows(layer, before))
        };
        match groups.last_mut() {
            Some(group) if joins(layer - 1) => group.end = layer + 1,
            _ => groups.push(layer..layer + 1),
        }
    }
    groups
}

/// Whether a layer has the same tiles as the one before, and an image not many more of them than a
/// block.
fn follows(layer: &LayerPlan, before: &LayerPlan) -> bool {
    match layer.method {
        Method::Winograd(kind) => {
            before.method == layer.method
                && layer.tiles(kind) <= 2 * own_tiles(layer.in_channels, layer.out_channels)
        }
        Method::FirstLayer => false,
    }
}

/// The way in which threads share a layer's tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TileSharing {
    /// Each thread takes one of so many blocks of tiles through all three steps, in memory of its
    /// own, which fits into its second-level cache where the weights do, too.
    Blocks(usize),
    /// All threads take each of so many blocks through one step after the other, so that the
    /// transformed weights, which are larger than any cache, are read once for all of them. Not for
    /// a single thread.
    Steps(usize),
}

/// The most tiles of a block that all threads share.
pub(crate) const SHARED_TILES: usize = 96;

/// The most tiles of a thread's own block; of whole images, about so many.
pub(crate) fn own_tiles(in_channels: usize, out_channels: usize) -> usize {
    match in_channels.max(out_channels) {
        ..=64 => 12,
        65..=128 => 18,
        _ if out_channels >= 512 => SHARED_TILES,
        _ if in_channels < 256 => 24,
        _ => 48,
    }
}

impl TileSharing {
    /// For `tiles` tiles of a layer and so many threads.
    pub(crate) fn new(
        (in_channels, out_channels): (usize, usize),
        tiles: usize,
        threads: usize,
    ) -> TileSharing {
        /// Tiles for which a thread's own pass through the weights pays.
        const FEW: usize = 6;
        if threads > 1 && (out_channels >= 512 || tiles < FEW * threads) {
            return TileSharing::Steps(tiles.div_ceil(SHARED_TILES));
        }
        let blocks = tiles.div_ceil(own_tiles(in_channels, out_channels));
        if blocks < 16 * threads {
            TileSharing::Blocks(blocks.next_multiple_of(threads))
        } else {
            TileSharing::Blocks(blocks)
        }
    }
}
