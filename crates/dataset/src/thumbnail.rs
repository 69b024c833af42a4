//! Small versions of images, for people to look at.

use std::borrow::Cow;

use image::imageops::thumbnail;
use image::{ImageBuffer, Luma, Rgb};

use crate::Image;

impl<'a> Image<'a> {
    /// The image, reduced to fit into `side` × `side` pixels with its aspect ratio. An image that fits is
    /// returned unchanged.
    pub fn fitted(self, side: usize) -> Image<'a> {
        let longest = self.height.max(self.width);
        if longest <= side {
            return self;
        }
        let reduced = |length: usize| (length * side / longest).max(1);
        let (height, width, channels) = (reduced(self.height), reduced(self.width), self.channels);
        let from = [self.width, self.height].map(|side| side as u32);
        let to = [width, height].map(|side| side as u32);
        let whole = "an image has as many bytes as its size says";
        let pixels = if channels == 1 {
            let image = ImageBuffer::<Luma<u8>, _>::from_raw(from[0], from[1], self.pixels);
            thumbnail(&image.expect(whole), to[0], to[1]).into_raw()
        } else {
            let image = ImageBuffer::<Rgb<u8>, _>::from_raw(from[0], from[1], self.pixels);
            thumbnail(&image.expect(whole), to[0], to[1]).into_raw()
        };
        Image { height, width, channels, pixels: Cow::Owned(pixels), mode: self.mode }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_and_colours_are_kept() {
        let pixels = [10, 20, 30].repeat(300 * 200);
        let image = Image::new(200, 300, 3, pixels);
        let small = image.fitted(30);
        assert_eq!((small.height, small.width), (20, 30));
        assert_eq!(*small.pixels, [10, 20, 30].repeat(20 * 30));
        assert_eq!(small.clone().fitted(30), small);
        let line = Image::new(1, 500, 1, vec![7; 500]);
        let line = line.fitted(5);
        assert_eq!((line.height, line.width, &*line.pixels), (1, 5, &[7; 5][..]));
    }
}
