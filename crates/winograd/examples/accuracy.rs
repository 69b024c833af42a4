//! The difference between VGG16's features and those computed in float64, for published weights.
//!
//! ```text
//! cargo run -p winograd --example accuracy -- --sizes 32,48,96 --images 2
//! ```
//!
//! It reads `artifacts/weights/vgg16-caffe.safetensors` and `data/mnist` (`--weights`, `--mnist`). The
//! images are digits, scaled up bilinearly, and synthetic pictures that use the whole range of each
//! channel. It prints `max|Δ| / max|reference|` of conv5_3 for each size, and fails if that exceeds the
//! bound of the accuracy.

mod vgg16;

use std::{error::Error, path::Path, thread};

use rand::{Rng, SeedableRng, rngs::StdRng};
use vgg16::{Vgg16, option};
use winograd::{Accuracy, ConvLayer, Network, NetworkConfig, Plan, Tap};

/// The means of the channels B, G and R that the family `caffe` subtracts.
const MEAN: [f32; 3] = [103.939, 116.779, 123.68];

fn main() -> Result<(), Box<dyn Error>> {
    let weights = option("weights", "artifacts/weights/vgg16-caffe.safetensors".to_owned());
    let mnist = option("mnist", "data/mnist".to_owned());
    let sizes = option("sizes", "32,40,48,56,64,80,96,112,128,160,192,224".to_owned());
    let count: usize = option("images", 2);
    let threads: usize = option("threads", 2);
    let vgg16 = Vgg16::open(weights.as_ref())?;
    let layers = vgg16.layers();
    let digits = read_digits(mnist.as_ref(), count)?;

    println!(
        "{:>9} {:>10} {:>9} {:>9}   {:<24} tiles of fast",
        "size", "images", "exact", "fast", "tiles of exact"
    );
    let mut kept = true;
    for size in sizes.split(',') {
        let (height, width) = match size.split_once('x') {
            Some((height, width)) => (height.parse()?, width.parse()?),
            None => (size.parse()?, size.parse()?),
        };
        let pictures = synthetic_pictures(height, width, count);
        let digits: Vec<f32> =
            digits.iter().flat_map(|digit| scale_digit(digit, height, width)).collect();
        for (name, images) in [("digits", digits), ("synthetic", pictures)] {
            let reference: Vec<f64> = images
                .chunks_exact(3 * height * width)
                .flat_map(|image| reference(&layers, image, height, width, threads))
                .collect();
            let largest = reference.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
            let mut errors = Vec::new();
            let mut tiles = Vec::new();
            for (accuracy, bound) in [(Accuracy::Exact, 5e-6), (Accuracy::Fast, 5e-5)] {
                let config = NetworkConfig { height, width, batch_size: count, threads, accuracy };
                let mut network = Network::new(&layers, &[Tap::last(&layers)], &config)?;
                let mut features = vec![0.0; reference.len()];
                network.forward(&images, &mut [&mut features])?;
                let error = features
                    .iter()
                    .zip(&reference)
                    .map(|(&f, r)| (f64::from(f) - r).abs() / largest)
                    .fold(0.0, f64::max);
                kept &= error <= bound;
                errors.push(error);
                tiles.push(tiles_of(network.plan()));
            }
            println!(
                "{size:>9} {name:>10} {:>9.1e} {:>9.1e}   {:<24} {}",
                errors[0], errors[1], tiles[0], tiles[1]
            );
        }
    }
    if !kept {
        return Err("an error is larger than its accuracy promises".into());
    }
    Ok(())
}

/// The tiles of the layers after the first, with repetitions counted: `F8×6 F4×3 F2×3`.
fn tiles_of(plan: &Plan) -> String {
    let runs = plan.layers[1..].chunk_by(|a, b| a.method == b.method);
    let words = runs.map(|run| match run.len() {
        1 => run[0].method.to_string(),
        n => format!("{}×{n}", run[0].method),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The first digits of the test split, `[28, 28]` each.
fn read_digits(folder: &Path, count: usize) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let path = folder.join("t10k-images-idx3-ubyte");
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let digits = bytes.get(16..).ok_or("not an IDX file")?.chunks_exact(28 * 28);
    Ok(digits.take(count).map(|digit| digit.iter().map(|&v| f32::from(v)).collect()).collect())
}

/// A digit as a gray image `[3, height, width]`, with the means subtracted.
fn scale_digit(digit: &[f32], height: usize, width: usize) -> Vec<f32> {
    let at = |y: f32, x: f32| {
        let (y, x) = (y.clamp(0.0, 27.0), x.clamp(0.0, 27.0));
        let (y0, x0) = (y as usize, x as usize);
        let (y1, x1) = ((y0 + 1).min(27), (x0 + 1).min(27));
        let (fy, fx) = (y - y0 as f32, x - x0 as f32);
        let row = |y: usize| digit[y * 28 + x0] * (1.0 - fx) + digit[y * 28 + x1] * fx;
        row(y0) * (1.0 - fy) + row(y1) * fy
    };
    let mut image = Vec::with_capacity(3 * height * width);
    for mean in MEAN {
        for y in 0..height {
            for x in 0..width {
                let source = |i: usize, n: usize| (i as f32 + 0.5) * 28.0 / n as f32 - 0.5;
                image.push(at(source(y, height), source(x, width)) - mean);
            }
        }
    }
    image
}

/// Rectangles, slopes and noise in full colours, `[count, 3, height, width]`, with the means subtracted.
fn synthetic_pictures(height: usize, width: usize, count: usize) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(1);
    let mut images = Vec::new();
    for _ in 0..count {
        for mean in MEAN {
            let (slope_y, slope_x) =
                (random.random_range(0.0..255.0), random.random_range(0.0..255.0));
            let mut plane: Vec<f32> = (0..height * width)
                .map(|i| {
                    let (y, x) = ((i / width) as f32, (i % width) as f32);
                    let slope = slope_y * y / height as f32 + slope_x * x / width as f32;
                    (slope % 256.0 + random.random_range(-20.0..20.0f32)).clamp(0.0, 255.0)
                })
                .collect();
            for _ in 0..12 {
                let (top, left) = (random.random_range(0..height), random.random_range(0..width));
                let bottom = random.random_range(top..height);
                let right = random.random_range(left..width);
                let value = f32::from(random.random::<u8>());
                for y in top..bottom {
                    plane[y * width + left..y * width + right].fill(value);
                }
            }
            images.extend(plane.iter().map(|value| value - mean));
        }
    }
    images
}

/// The output of the network in float64, by the definition.
fn reference(
    layers: &[ConvLayer<'_>],
    image: &[f32],
    mut height: usize,
    mut width: usize,
    threads: usize,
) -> Vec<f64> {
    let mut map: Vec<f64> = image.iter().map(|&v| f64::from(v)).collect();
    for layer in layers {
        let size = height * width;
        let mut out = vec![0.0; layer.out_channels * size];
        let share = layer.out_channels.div_ceil(threads);
        thread::scope(|scope| {
            for (index, planes) in out.chunks_mut(share * size).enumerate() {
                let map = &map;
                scope.spawn(move || convolve(layer, map, height, width, index * share, planes));
            }
        });
        map = if layer.max_pool { pool(&out, height, width) } else { out };
        if layer.max_pool {
            (height, width) = (height / 2, width / 2);
        }
    }
    map
}

/// Computes some output channels, beginning with `first`: whole rows at a time, weight by weight.
fn convolve(
    layer: &ConvLayer<'_>,
    map: &[f64],
    height: usize,
    width: usize,
    first: usize,
    planes: &mut [f64],
) {
    for (index, plane) in planes.chunks_exact_mut(height * width).enumerate() {
        let o = first + index;
        plane.fill(f64::from(layer.bias[o]));
        for c in 0..layer.in_channels {
            let kernel = &layer.weight[(o * layer.in_channels + c) * 9..][..9];
            for y in 0..height {
                for dy in 0..3 {
                    if !(1..=height).contains(&(y + dy)) {
                        continue;
                    }
                    let source = &map[(c * height + y + dy - 1) * width..][..width];
                    let target = &mut plane[y * width..][..width];
                    let w = [0, 1, 2].map(|dx| f64::from(kernel[3 * dy + dx]));
                    for (t, s) in target[1..].iter_mut().zip(source) {
                        *t += w[0] * s;
                    }
                    for (t, s) in target.iter_mut().zip(source) {
                        *t += w[1] * s;
                    }
                    for (t, s) in target.iter_mut().zip(&source[1..]) {
                        *t += w[2] * s;
                    }
                }
            }
        }
        plane.iter_mut().for_each(|v| *v = v.max(0.0));
    }
}

/// The largest of each 2x2 values.
fn pool(map: &[f64], height: usize, width: usize) -> Vec<f64> {
    let mut out = Vec::new();
    for plane in map.chunks_exact(height * width) {
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                let at = |dy: usize, dx: usize| plane[(2 * y + dy) * width + 2 * x + dx];
                out.push(at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1)));
            }
        }
    }
    out
}
