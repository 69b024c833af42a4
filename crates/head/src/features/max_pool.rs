//! The parameter-free first layer of every head.

/// Numbers in a row after pooling features of shape `[C, H, W]`.
pub(crate) fn pooled_len([channels, height, width]: [usize; 3]) -> usize {
    channels * (height / 2) * (width / 2)
}

/// 2×2 max pool of stride 2, an odd last row or column left out, as Keras and PyTorch have it.
/// `features`: `[C, H, W]`; `pooled`: `[C, ⌊H/2⌋, ⌊W/2⌋]`.
pub(crate) fn max_pool(features: &[f32], [_, height, width]: [usize; 3], pooled: &mut [f32]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_maps_lose_their_last_row_and_column() {
        #[rustfmt::skip]
        let map = [1.0, 2.0, 9.0,
                   4.0, 3.0, 9.0,
                   9.0, 9.0, 9.0];
        let mut pooled = [0.0];
        max_pool(&map, [1, 3, 3], &mut pooled);
        assert_eq!(pooled, [4.0]);
    }
}
