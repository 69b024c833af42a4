//! The parameter-free beginning of every head: the maps of a convolution are max-pooled as in VGG, and the rows
//! of the taps are joined into one.

use recipe::Tap;

/// A tap whose rows a head takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TapRows<'a> {
    pub(crate) tap: &'a Tap,
    /// Channels, height and width, or channels alone.
    pub(crate) shape: &'a [usize],
}

impl TapRows<'_> {
    /// Height and width before pooling, if rows are pooled.
    pub(crate) fn pooled_size(self) -> Option<(usize, usize)> {
        match *self.shape {
            [_, height, width] if self.tap.is_unpooled() => Some((height, width)),
            _ => None,
        }
    }

    /// Numbers in a row as the cache has it.
    fn len(self) -> usize {
        self.shape.iter().product()
    }

    /// Numbers in a row as a head takes it.
    pub(crate) fn pooled_len(self) -> usize {
        match self.pooled_size() {
            Some((height, width)) => self.shape[0] * (height / 2) * (width / 2),
            None => self.len(),
        }
    }
}

/// Makes a head's input row from the taps' rows, which are given one after another as in the cache.
pub(crate) fn pool_row(taps: &[TapRows<'_>], features: &[f32], pooled: &mut [f32]) {
    let (mut features, mut pooled) = (features, pooled);
    for tap in taps {
        let (row, out);
        (row, features) = features.split_at(tap.len());
        (out, pooled) = pooled.split_at_mut(tap.pooled_len());
        match tap.pooled_size() {
            Some(size) => max_pool(row, size, out),
            None => out.copy_from_slice(row),
        }
    }
}

/// A 2×2 max pool of stride 2 that drops an odd last row or column, as in Keras and PyTorch, from `features`,
/// `[C, H, W]`, to `pooled`, `[C, ⌊H/2⌋, ⌊W/2⌋]`.
fn max_pool(features: &[f32], (height, width): (usize, usize), pooled: &mut [f32]) {
    let (out_height, out_width) = (height / 2, width / 2);
    let maps = features.chunks_exact(height * width);
    for (map, out) in maps.zip(pooled.chunks_exact_mut(out_height * out_width)) {
        for y in 0..out_height {
            for x in 0..out_width {
                let at = |dy: usize, dx: usize| map[(2 * y + dy) * width + 2 * x + dx];
                out[y * out_width + x] = at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1));
            }
        }
    }
}

/// The way back through [`pool_row`] to the tap with index `at`: from the gradient of a head's input row,
/// `pooled`, to that of the tap's row. `features` are those of this tap.
pub(crate) fn pool_row_back(
    taps: &[TapRows<'_>],
    at: usize,
    features: &[f32],
    pooled: &[f32],
) -> Vec<f32> {
    let start: usize = taps[..at].iter().map(|tap| tap.pooled_len()).sum();
    let pooled = &pooled[start..][..taps[at].pooled_len()];
    match taps[at].pooled_size() {
        Some(size) => max_pool_back(features, size, pooled),
        None => pooled.to_vec(),
    }
}

/// The gradient of the maps `features`, `[C, H, W]`, from that of the pooled maps, `[C, ⌊H/2⌋, ⌊W/2⌋]`. That of a
/// window goes to its largest number, and among equals to the first in row order, as in PyTorch on the CPU.
fn max_pool_back(features: &[f32], (height, width): (usize, usize), pooled: &[f32]) -> Vec<f32> {
    let (out_height, out_width) = (height / 2, width / 2);
    let mut gradient = vec![0.0; features.len()];
    let maps = features.chunks_exact(height * width);
    let gradients = gradient.chunks_exact_mut(height * width);
    for ((map, to), from) in maps.zip(gradients).zip(pooled.chunks_exact(out_height * out_width)) {
        for (window, &from) in from.iter().enumerate() {
            let corner = 2 * (window / out_width) * width + 2 * (window % out_width);
            let mut largest = corner;
            for at in [corner + 1, corner + width, corner + width + 1] {
                if map[at] > map[largest] {
                    largest = at;
                }
            }
            to[largest] = from;
        }
    }
    gradient
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a window of equals, and so of zeros, it is the first.
    #[test]
    fn a_windows_gradient_goes_to_its_first_maximum() {
        #[rustfmt::skip]
        let map = [0.0, 0.0, 1.0, 5.0, 9.0,
                   0.0, 0.0, 5.0, 2.0, 9.0,
                   9.0, 9.0, 9.0, 9.0, 9.0];
        #[rustfmt::skip]
        let expected = [7.0, 0.0, 0.0, -3.0, 0.0,
                        0.0, 0.0, 0.0,  0.0, 0.0,
                        0.0, 0.0, 0.0,  0.0, 0.0];
        assert_eq!(max_pool_back(&map, (3, 5), &[7.0, -3.0]), expected);
    }

    /// A tap finds its own part of the row.
    #[test]
    fn gradients_go_back_to_their_tap() {
        let taps: Vec<Tap> =
            ["conv4_3:avg", "conv5_3", "pool5"].map(|tap| tap.parse().unwrap()).into();
        let shapes: [&[usize]; 3] = [&[3], &[1, 2, 2], &[1, 2, 1]];
        let rows: Vec<TapRows<'_>> =
            taps.iter().zip(shapes).map(|(tap, shape)| TapRows { tap, shape }).collect();
        let pooled = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(pool_row_back(&rows, 0, &[0.0; 3], &pooled), [1.0, 2.0, 3.0]);
        assert_eq!(pool_row_back(&rows, 1, &[7.0, 6.0, 8.0, 8.0], &pooled), [0.0, 0.0, 4.0, 0.0]);
        assert_eq!(pool_row_back(&rows, 2, &[0.0; 2], &pooled), [5.0, 6.0]);
    }

    #[test]
    fn odd_maps_lose_their_last_row_and_column() {
        #[rustfmt::skip]
        let map = [1.0, 2.0, 9.0,
                   4.0, 3.0, 9.0,
                   9.0, 9.0, 9.0];
        let mut pooled = [0.0];
        max_pool(&map, (3, 3), &mut pooled);
        assert_eq!(pooled, [4.0]);
    }

    /// Only a convolution's own maps are pooled; everything else goes in as it is.
    #[test]
    fn taps_are_joined() {
        let taps: Vec<Tap> =
            ["conv4_3:avg", "conv5_3", "pool5"].map(|tap| tap.parse().unwrap()).into();
        let shapes: [&[usize]; 3] = [&[3], &[1, 2, 2], &[1, 2, 1]];
        let rows: Vec<TapRows<'_>> =
            taps.iter().zip(shapes).map(|(tap, shape)| TapRows { tap, shape }).collect();
        let lens: Vec<usize> = rows.iter().map(|tap| tap.pooled_len()).collect();
        assert_eq!(lens, [3, 1, 2]);
        let features = [1.0, 2.0, 3.0, 4.0, 7.0, 6.0, 5.0, 8.0, 9.0];
        let mut pooled = [0.0; 6];
        pool_row(&rows, &features, &mut pooled);
        assert_eq!(pooled, [1.0, 2.0, 3.0, 7.0, 8.0, 9.0]);
    }
}
