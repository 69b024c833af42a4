//! GIF: the first frame on its screen, as in PIL.
//!
//! A frame may be smaller than the screen, be anywhere on it, and extend beyond it, which enlarges the screen.
//! The pixels around the frame have the transparent index if the frame names one, else index 0. (Browsers show
//! them transparent, and other programs in the background colour.)

use std::io::BufRead;

use gif::{ColorOutput, DecodeOptions, DecodingError, MemoryLimit};

use super::{Fault, MAX_BYTES, Room};
use crate::{Colours, Image, Mode};

impl From<DecodingError> for Fault {
    fn from(error: DecodingError) -> Fault {
        match error {
            DecodingError::Io(error) => Fault::Read(error),
            error => Fault::damaged(error.to_string()),
        }
    }
}

pub(super) fn decode(file: impl BufRead, room: Room) -> Result<Image<'static>, Fault> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(MAX_BYTES.try_into().expect("it is not 0")));
    options.allow_unknown_blocks(true);
    let mut decoder = options.read_info(file)?;
    let screen = [decoder.height(), decoder.width()].map(usize::from);
    let Some(frame) = decoder.next_frame_info()? else {
        return Err(Fault::damaged("there is no image in it"));
    };
    let [top, left, rows, columns] =
        [frame.top, frame.left, frame.height, frame.width].map(usize::from);
    let (height, width) = (screen[0].max(top + rows), screen[1].max(left + columns));
    let surround = frame.transparent.unwrap_or(0);
    room.check(width, height, 3)?;
    let colours = decoder.palette()?.to_vec();
    let mut indices = vec![0; rows * columns];
    if !indices.is_empty() {
        decoder.read_into_buffer(&mut indices)?;
    }
    // Indices without a colour are black.
    let colour = |index: u8| {
        let colour = colours.as_chunks::<3>().0.get(usize::from(index));
        colour.copied().unwrap_or([0; 3])
    };
    let mut pixels = colour(surround).repeat(height * width);
    for (row, indices) in indices.chunks_exact(columns.max(1)).enumerate() {
        let start = 3 * ((top + row) * width + left);
        for (pixel, &index) in pixels[start..].as_chunks_mut().0.iter_mut().zip(indices) {
            *pixel = colour(index);
        }
    }
    Ok(Image::new(height, width, 3, pixels).stored_as(Mode::of(Colours::Palette)))
}
