//! The time of decoding JPEG files by this crate and by decoders that are written in Rust:
//! `cargo run --package dataset --example jpeg_decoders FILE…`.
//!
//! Every file is decoded by each in turn, at its own size, and where the decoder can do it also at the part of its size
//! that is at least 192 pixels a side: what `--decode=fast` reads for inputs of 96 pixels. The table has the sums of the
//! medians over the rounds, in milliseconds per file, and whether all pixels are those of this crate.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // A program for developers.

use std::path::Path;
use std::time::Instant;

use dataset::{Decoding, decode_bytes};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

const ROUNDS: usize = 5;
const AT_LEAST: usize = 192;

type Decode = fn(&[u8]) -> Vec<u8>;

const DECODERS: [(&str, Decode); 5] = [
    ("this crate, full", |bytes| ours(bytes, None)),
    ("this crate, shrunk", |bytes| ours(bytes, Some([AT_LEAST; 2]))),
    ("zune-jpeg, full", |bytes| JpegDecoder::new(ZCursor::new(bytes)).decode().unwrap()),
    ("jpeg-decoder, full", |bytes| jpeg_decoder::Decoder::new(bytes).decode().unwrap()),
    ("jpeg-decoder, shrunk", |bytes| {
        let mut decoder = jpeg_decoder::Decoder::new(bytes);
        decoder.scale(AT_LEAST as u16, AT_LEAST as u16).unwrap();
        decoder.decode().unwrap()
    }),
];

fn ours(bytes: &[u8], at_least: Option<[usize; 2]>) -> Vec<u8> {
    let decoding = Decoding { at_least, ..Decoding::default() };
    decode_bytes(Path::new("file"), bytes, u64::MAX, decoding).unwrap().pixels.into_owned()
}

fn main() {
    let files: Vec<Vec<u8>> =
        std::env::args().skip(1).map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!files.is_empty(), "name some JPEG files");
    let mut times = [0.0; DECODERS.len()];
    let mut is_equal = [true; DECODERS.len()];
    for bytes in &files {
        let mut of_file = [const { Vec::new() }; DECODERS.len()];
        let mut pixels: Vec<Vec<u8>> = Vec::new();
        for round in 0..ROUNDS {
            for (decoder, (_, decode)) in DECODERS.iter().enumerate() {
                let start = Instant::now();
                let decoded = decode(bytes);
                of_file[decoder].push(start.elapsed().as_secs_f64());
                if round == 0 {
                    pixels.push(decoded);
                }
            }
        }
        for (decoder, mut seconds) in of_file.into_iter().enumerate() {
            seconds.sort_by(f64::total_cmp);
            times[decoder] += 1e3 * seconds[ROUNDS / 2] / files.len() as f64;
            // Shrunk by this crate's rule, or full.
            let reference = if DECODERS[decoder].0.ends_with("shrunk") { 1 } else { 0 };
            is_equal[decoder] &= pixels[decoder] == pixels[reference];
        }
    }
    println!("{:22} ms per file  pixels", "decoder");
    for (((name, _), time), is_equal) in DECODERS.iter().zip(times).zip(is_equal) {
        println!("{name:22} {time:11.2}  {}", if is_equal { "equal" } else { "others" });
    }
}
