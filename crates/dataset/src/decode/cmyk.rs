//! CMYK to RGB without a colour profile, with PIL's rounding (`cmyk2rgb` in its `Convert.c`).

/// RGB of inks from 0, none, to 255, full: `[…, 4]` to `[…, 3]`.
pub(super) fn to_rgb(inks: &[u8]) -> Vec<u8> {
    let pixels = inks.as_chunks().0.iter();
    pixels.flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| light(ink, k))).collect()
}

/// RGB of inks from 255, none, to 0, full: `[…, 4]` to `[…, 3]`.
pub(super) fn inverted_to_rgb(inks: &[u8]) -> Vec<u8> {
    let pixels = inks.as_chunks().0.iter();
    pixels.flat_map(|&[c, m, y, k]| [c, m, y].map(|ink| light(255 - ink, 255 - k))).collect()
}

/// The share of white light that an ink and black leave.
fn light(ink: u8, black: u8) -> u8 {
    let not_black = 255 - black;
    // ink · not_black / 255, rounded.
    let product = u32::from(ink) * u32::from(not_black) + 128;
    let absorbed = ((product >> 8) + product) >> 8;
    (u32::from(not_black) - absorbed) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inks_absorb_light() {
        let inks =
            [[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255], [100, 50, 0, 60]];
        let rgb = [[255; 3], [0, 255, 255], [255, 0, 0], [0; 3], [119, 157, 195]].concat();
        assert_eq!(to_rgb(inks.as_flattened()), rgb);
        let inverted: Vec<u8> = inks.as_flattened().iter().map(|ink| 255 - ink).collect();
        assert_eq!(inverted_to_rgb(&inverted), rgb);
    }
}
