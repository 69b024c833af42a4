//! Random numbers that are a function of the place at which they are used, so that a head's initial
//! weights and dropout masks depend on its seed alone: not on threads, earlier batches, or other heads.
//!
//! Whether an element is dropped is decided by a keyed 32-bit mixer: SplitMix64 (Steele, Lea &
//! Flood 2014) makes two 32-bit keys of (seed, step, layer, row of the batch), and Wellons'
//! `lowbias32` (2018: the least biased of the two-multiplication mixers) mixes the column with them.
//! That is a dozen vector instructions for eight elements, a third of Philox 4x32-10's, and its
//! quality is more than a mask needs: tests check its statistics.

/// One of SplitMix64's outputs.
#[inline(always)]
pub(crate) fn split_mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The elements that one layer drops in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout {
    key: u64,
    /// Elements whose random number is below it are dropped.
    pub(crate) threshold: u32,
    /// Factor on the elements kept: 1 / (1 - fraction).
    pub(crate) scale: f32,
}

/// The elements that one layer drops in one row of one step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowDropout {
    pub(crate) keys: [u32; 2],
    pub(crate) threshold: u32,
    pub(crate) scale: f32,
}

/// The multipliers of `lowbias32`.
pub(crate) const MULTIPLIERS: [u32; 2] = [0x7feb_352d, 0x846c_a68b];

impl Dropout {
    /// `fraction` in `[0, 1)`; `step` counts the steps, `layer` is the dense layer that follows.
    pub(crate) fn new(fraction: f32, seed: u64, step: u64, layer: usize) -> Dropout {
        let key = split_mix(split_mix(seed).wrapping_add(step)).wrapping_add(layer as u64);
        // The largest f32 below 1 gives 2^32 - 256, so that the number fits.
        let threshold = (f64::from(fraction) * 4_294_967_296.0) as u32;
        Dropout {
            key: split_mix(key),
            threshold,
            scale: (1.0 / (1.0 - f64::from(fraction))) as f32,
        }
    }

    /// Whether all elements are kept.
    #[inline(always)]
    pub(crate) fn keeps_all(&self) -> bool {
        self.threshold == 0
    }

    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> RowDropout {
        let key = split_mix(self.key.wrapping_add(row as u64));
        let keys = [key as u32, (key >> 32) as u32];
        RowDropout { keys, threshold: self.threshold, scale: self.scale }
    }
}

impl RowDropout {
    /// Whether the element of this column is kept.
    #[inline(always)]
    pub(crate) fn keeps(&self, column: u32) -> bool {
        let mut x = column ^ self.keys[0];
        x = (x ^ (x >> 16)).wrapping_mul(MULTIPLIERS[0]) ^ self.keys[1];
        x = (x ^ (x >> 15)).wrapping_mul(MULTIPLIERS[1]);
        x ^ (x >> 16) >= self.threshold
    }
}

/// A sequence of uniform numbers.
pub(crate) struct Uniform(u64);

impl Uniform {
    pub(crate) fn new(seed: u64, stream: u64) -> Uniform {
        Uniform(split_mix(split_mix(seed).wrapping_add(stream)))
    }

    /// In `[-bound, bound)`.
    pub(crate) fn next(&mut self, bound: f64) -> f32 {
        ((2.0 * self.unit() - 1.0) * bound) as f32
    }

    /// In `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (split_mix(self.0) >> 11) as f64 / (1u64 << 53) as f64
    }
}
