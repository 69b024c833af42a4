//! The division of the work among the threads. It affects speed and memory, but not the numbers.
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
//! - The **schedule** says how a chunk of images goes through the network. A chunk has as many images as
//!   there is memory for.
//! - A **team** is the **threads** of a call.
//! - A **run** is a sequence of stages that the team goes through in the same way: together, with a
//!   meeting after each layer, or apart, each thread with images of its own.
//! - A **stage** is a sequence of layers up to a pool, or in bands up to the last of several pools. It has
//!   a number of images that go through it at a time.
//! - A **group** is a sequence of layers of a stage between which no whole map is kept, whether they are
//!   tapped or not.
//! - A **chain** is a group of layers with the same tiles. A thread takes a block of whole images through
//!   its layers, one after the other.
//! - A **band** is a number of rows of a layer in a group of the first stages. It is computed as soon as
//!   the layer before has the rows that it reads.
//! - A **block of tiles** is a number of tiles that one thread transforms, multiplies and transforms back
//!   at a time; or the whole team, if the weights are large.
//! - A **tile** is a square of outputs that one Winograd algorithm computes. Its values of one frequency
//!   are a slot.
//! - A **register block** is a number of slots times sixteen output channels. Its sums stay in registers.
//!
//! From stage to stage, maps shrink and weights grow. Early stages therefore take few images at a time, or
//! bands of rows of one image, so that the maps stay in a cache. Late stages take many images, so that the
//! weights are read few times.

use std::{iter, ops::Range};

use crate::plan::layers::{LayerPlan, Method, Plan};

/// The number of early stages, whose maps are larger than their weights: those up to the first two pools of
/// VGG16.
const EARLY: usize = 2;

/// The size of the first map, in bytes, from which it does not stay in a thread's second-level cache.
const CACHED_MAP: usize = 1 << 20;

/// The largest size of a map, in bytes, with which each thread has images of its own in the early stages.
const OWN_MAP: usize = 32 << 20;

/// The size of the maps, in bytes, that all threads work on together: a share of the last-level cache.
const SHARED_MAPS: usize = 8 << 20;

/// The smallest number of tiles for which a thread reads the weights of a late stage by itself.
pub(crate) const OWN_TILES: usize = 16;

/// Consecutive layers up to a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    pub(crate) layers: Range<usize>,
    /// The number of images that go through the stage at a time.
    pub(crate) images: usize,
    /// Whether it is one of the first stages, whose maps are larger than their weights.
    pub(crate) early: bool,
    /// Whether each thread takes images of its own and does not meet the others. In the early stages it
    /// takes them one by one, so that a thread that is held up takes fewer. In the late ones it takes an
    /// equal share, to read the weights few times.
    pub(crate) apart: bool,
    /// Whether the layers take turns, a band of rows at a time, instead of one after the other.
    pub(crate) banded: bool,
    /// The layers in order, in groups, between whose layers no whole map is kept. In a banded stage a group
    /// is run in bands of rows. Otherwise it is a chain, through which a thread takes a block of images.
    pub(crate) groups: Vec<Range<usize>>,
}

impl Stage {
    /// The index of a thread's first map within the stage.
    pub(crate) fn first_map(&self, thread: usize) -> usize {
        if self.apart { thread * self.images } else { 0 }
    }
}

/// The numbers of images for which memory for a layer's maps is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MapCounts {
    /// Maps before the layer's pool, and partial results of its taps, unless it runs in bands.
    pub(crate) unpooled: usize,
    /// Bands of maps before the layer's pool, and partial results of its taps.
    pub(crate) bands: usize,
    /// Maps after the layer's pool.
    pub(crate) maps: usize,
    /// Windows onto the maps after the pool, instead of whole maps.
    pub(crate) windows: usize,
    /// Maps of a few channels between the layers of the chain that begins with this layer, instead of
    /// whole maps.
    pub(crate) chain_maps: usize,
}

impl MapCounts {
    pub(crate) fn max(self, other: MapCounts) -> MapCounts {
        MapCounts {
            unpooled: self.unpooled.max(other.unpooled),
            bands: self.bands.max(other.bands),
            maps: self.maps.max(other.maps),
            windows: self.windows.max(other.windows),
            chain_maps: self.chain_maps.max(other.chain_maps),
        }
    }
}

/// The stages of a pass of some images through the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    images: usize,
    threads: usize,
    stages: Vec<Stage>,
}

impl Schedule {
    /// The schedule for `images` images and a team of `threads` threads.
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

    /// The runs of stages, each of which the threads go through either apart or together. They meet between
    /// two runs, unless they go through both apart.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &[Stage]> {
        self.stages.chunk_by(|a, b| a.apart == b.apart && (!a.apart || a.early == b.early))
    }

    /// The images of share `index`. In a run apart of late stages there is one share per thread.
    pub(crate) fn share(&self, index: usize) -> Range<usize> {
        let start = |index: usize| index * self.images / self.threads;
        start(index)..start(index + 1)
    }

    /// The numbers of images of which each layer has maps at the same time.
    pub(crate) fn map_counts(&self) -> Vec<MapCounts> {
        let mut counts = Vec::new();
        for run in self.runs() {
            let teams = if run[0].apart { self.threads } else { 1 };
            for (index, stage) in run.iter().enumerate() {
                let within = teams * stage.images;
                let last = run.get(index + 1).map_or(self.images, |next| teams * next.images);
                for group in &stage.groups {
                    let (unpooled, bands) = if stage.banded { (0, within) } else { (within, 0) };
                    let all = MapCounts { unpooled, bands, ..MapCounts::default() };
                    let inner = MapCounts { windows: bands, ..all };
                    counts.extend(iter::repeat_n(inner, group.len() - 1));
                    let maps = if group.end == stage.layers.end { last } else { within };
                    counts.push(MapCounts { maps, ..all });
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
    // Threads with different numbers of images would wait for each other at the end.
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

/// The groups of a stage's layers. In a banded stage there is one. If threads go apart, they are layers of the
/// same tiles, so that the inputs of a layer can overwrite the products of the layer before. Otherwise they
/// are single layers.
fn groups(plan: &Plan, stage: &Stage) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for layer in stage.layers.clone() {
        let joins = |before: usize| {
            let (layer, before) = (&plan.layers[layer], &plan.layers[before]);
            stage.banded || stage.apart && follows(layer, before)
        };
        match groups.last_mut() {
            Some(group) if joins(layer - 1) => group.end = layer + 1,
            _ => groups.push(layer..layer + 1),
        }
    }
    groups
}

/// Whether a layer can follow the one before in a chain: it has the same tiles, and an image has not many
/// more of them than a block.
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
    /// This number of blocks of tiles, each of which one thread takes through all three steps. The thread's
    /// memory for a block fits into its second-level cache if the weights fit as well.
    Blocks(usize),
    /// This number of blocks of tiles, each of which all threads take through one step after the other. The
    /// transformed weights, which are larger than any cache, are then read once for all threads. It is not
    /// used with a single thread.
    Steps(usize),
}

/// The largest number of tiles of a block that all threads share.
pub(crate) const SHARED_TILES: usize = 96;

/// The largest number of tiles of a thread's own block. A block of whole images has about this many.
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
    /// The sharing of `tiles` tiles of a layer among `threads` threads.
    pub(crate) fn new(
        (in_channels, out_channels): (usize, usize),
        tiles: usize,
        few_tiles: bool,
        threads: usize,
    ) -> TileSharing {
        /// The smallest number of tiles that is worth a thread's own pass through the weights.
        const FEW: usize = 6;
        if threads > 1 && (few_tiles || out_channels >= 512 || tiles < FEW * threads) {
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
