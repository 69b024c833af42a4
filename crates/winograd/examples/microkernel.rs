//! The register blocks by themselves, on operands in the first-level cache, one thread.
//!
//! ```text
//! cargo run -p winograd --example microkernel -- --rounds 5 --milliseconds 50
//! ```
//!
//! A line of JSON for each block: its instruction set, its tiles and output channels, whether many tiles are divided into
//! such blocks, and for each round the floating-point operations a second of the block and of multiply-adds in registers
//! alone. `bench/microkernel.py` makes a table of them.

use std::{error::Error, time::Duration};

use winograd::RegisterBlock;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut rounds, mut milliseconds) = (5_usize, 50_u64);
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.chunks(2) {
        match pair {
            [name, value] if name == "--rounds" => rounds = value.parse()?,
            [name, value] if name == "--milliseconds" => milliseconds = value.parse()?,
            _ => return Err(format!("{}: expected --rounds N or --milliseconds N", pair[0]).into()),
        }
    }
    let blocks = RegisterBlock::all();
    let mut measured: Vec<Vec<(f64, f64)>> = vec![Vec::new(); blocks.len()];
    for _ in 0..rounds {
        for (block, measured) in blocks.iter().zip(&mut measured) {
            measured.push(block.measure(Duration::from_millis(milliseconds)));
        }
    }
    for (block, measured) in blocks.iter().zip(measured) {
        let (rates, peaks): (Vec<f64>, Vec<f64>) = measured.into_iter().unzip();
        println!(
            "{{\"isa\": \"{}\", \"rows\": {}, \"channels\": {}, \"preferred\": {}, \"flops\": {rates:?}, \
             \"peak\": {peaks:?}}}",
            block.isa(),
            block.rows(),
            block.channels(),
            block.is_preferred(),
        );
    }
    Ok(())
}
