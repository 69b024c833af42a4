//! The speed of the thirteen convolutions of VGG16, and a profile by layer.
//!
//! ```text
//! cargo run -p winograd --example bench -- --size 96 --batch 32 --threads 2 --accuracy fast
//! ```
//!
//! It prints images/s and a table with a row for each layer. With `--serve 1` it reads lines from standard
//! input, each with a number of seconds, and answers each with the images/s over that time, so that a
//! script can measure several programs in turn.
//!
//! `--taps 3,6,12` selects the layers whose outputs after the ReLU are computed; the default is the last
//! layer. With `--pooling avg` or `max` all but the last layer's are pooled globally.
//!
//! With `--serve 1 --write FILE` a pass computes nothing: one thread hashes (BLAKE3) and writes as many bytes
//! as the outputs of the taps have, but for the last layer's, to a file for each tap: `FILE.0`, `FILE.1`, …
//! This is what `vgg-extract` does with a batch's outputs; the cost of taps is compared with it.
//!
//! `--weights FILE` reads weights; without it they are random, which is as fast. `--images FILE` reads
//! images from a float32 `.npy` array `[batch, 3, height, width]`.

mod vgg16;

use std::{
    error::Error,
    fs::File,
    hint::black_box,
    io::{BufRead, Seek, Write},
    time::{Duration, Instant},
};

use vgg16::{Vgg16, option};
use winograd::{Accuracy, LayerTimes, Network, NetworkConfig, Pooling, Tap, TapPoint};

fn main() -> Result<(), Box<dyn Error>> {
    let size: usize = option("size", 96);
    let config = NetworkConfig {
        height: option("height", size),
        width: option("width", size),
        batch_size: option("batch", 32),
        threads: option("threads", 2),
        accuracy: option("accuracy", Accuracy::Fast),
    };
    let path = option("weights", String::new());
    let vgg16 = if path.is_empty() { Vgg16::random(0) } else { Vgg16::open(path.as_ref())? };

    let start = Instant::now();
    let mut network = Network::new(&vgg16.layers(), &taps()?, &config)?;
    let planned = start.elapsed();
    let path = option("images", String::new());
    let images: Vec<f32> = if path.is_empty() {
        let numbers = 0..config.batch_size * 3 * config.height * config.width;
        numbers.map(|i| (i * 7919 % 256) as f32 - 128.0).collect()
    } else {
        ndarray_npy::read_npy::<_, ndarray::Array4<f32>>(path)?.into_iter().collect()
    };
    let mut features: Vec<Vec<f32>> = network
        .output_shapes()
        .iter()
        .map(|shape| vec![0.0; config.batch_size * shape.len()])
        .collect();
    let mut features: Vec<&mut [f32]> = features.iter_mut().map(Vec::as_mut_slice).collect();

    if option("serve", 0) != 0 {
        let path = option("write", String::new());
        if !path.is_empty() {
            let mut files = TapFiles::create(&path, &network, &taps()?, &config)?;
            return serve(config.batch_size, || files.write());
        }
        return serve(config.batch_size, || Ok(network.forward(&images, &mut features)?));
    }

    let seconds = Duration::from_secs_f64(option("seconds", 4.0));
    let peak = fma_peak();
    network.forward(&images, &mut features)?;
    let median = passes(seconds, || network.forward(&images, &mut features))?;
    let mut sums = vec![LayerTimes::default(); network.plan().layers.len()];
    let (mut elapsed, mut runs) = (Duration::ZERO, 0);
    let start = Instant::now();
    while start.elapsed() < seconds {
        let profile = network.forward_profiled(&images, &mut features)?;
        elapsed += profile.elapsed;
        runs += 1;
        for (sum, layer) in sums.iter_mut().zip(&profile.layers) {
            sum.input += layer.input;
            sum.products += layer.products;
            sum.output += layer.output;
            sum.wait += layer.wait;
        }
    }

    let plan = network.plan();
    let images = config.batch_size as f64;
    println!(
        "{}x{} px, batch {}, {} threads, {}: {:.1} images/s, {:.2} ms per pass",
        config.height,
        config.width,
        config.batch_size,
        config.threads,
        plan.numerics(),
        images / median.as_secs_f64(),
        median.as_secs_f64() * 1e3
    );
    println!(
        "planned in {:.2} s, {} MiB held, {} MiB resident at most, FMA peak {:.0} GFLOP/s per core",
        planned.as_secs_f64(),
        network.bytes() >> 20,
        peak_memory().map_or("?".to_owned(), |bytes| (bytes >> 20).to_string()),
        peak / 1e9
    );
    println!();
    println!(
        "{:<9} {:>16} {:>6} {:>8} {:>6} {:>10} {:>8} {:>6} {:>6} {:>6} {:>6}",
        "layer",
        "channels",
        "tile",
        "ms",
        "share",
        "effective",
        "products",
        "in",
        "prod.",
        "out",
        "wait"
    );
    println!(
        "{:<9} {:>16} {:>6} {:>8} {:>6} {:>10} {:>8} {:>6} {:>6} {:>6} {:>6}",
        "", "", "", "", "%", "GFLOP/s", "% peak", "%", "%", "%", "%"
    );
    let row = |name: &str, what: &str, method: &str, times: &LayerTimes, direct: f64, real: f64| {
        let total = times.total().as_secs_f64();
        let wall = total / config.threads as f64;
        let passes = f64::from(runs);
        let part = |time: Duration| 100.0 * time.as_secs_f64() / total;
        println!(
            "{:<9} {:>16} {:>6} {:>8.2} {:>6.1} {:>10.0} {:>8.1} {:>6.1} {:>6.1} {:>6.1} {:>6.1}",
            name,
            what,
            method,
            wall / passes * 1e3,
            100.0 * wall / elapsed.as_secs_f64(),
            direct * images * passes / wall / 1e9,
            100.0 * real * images * passes / times.products.as_secs_f64() / peak,
            part(times.input),
            part(times.products),
            part(times.output),
            part(times.wait)
        );
    };
    let mut all = LayerTimes::default();
    let (mut direct, mut real) = (0.0, 0.0);
    let names =
        ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1", "5_2", "5_3"];
    for ((layer, times), name) in plan.layers.iter().zip(&sums).zip(names) {
        let what = format!(
            "{}-{} @{}x{}",
            layer.in_channels, layer.out_channels, layer.height, layer.width
        );
        row(
            &format!("conv{name}"),
            &what,
            &layer.algorithm(),
            times,
            layer.direct_flops(),
            layer.product_flops(),
        );
        all.input += times.input;
        all.products += times.products;
        all.output += times.output;
        all.wait += times.wait;
        direct += layer.direct_flops();
        real += layer.product_flops();
    }
    row("all", "", "", &all, direct, real);
    Ok(())
}

/// Answers each line of standard input, a number of seconds, with the images/s of passes over that time.
fn serve(
    batch_size: usize,
    mut pass: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    // The first pass stores the weights that later ones read.
    pass()?;
    println!("ready");
    std::io::stdout().flush()?;
    for line in std::io::stdin().lock().lines() {
        let seconds = Duration::from_secs_f64(line?.trim().parse()?);
        let (start, mut passes) = (Instant::now(), 0);
        while start.elapsed() < seconds {
            pass()?;
            passes += 1;
        }
        println!("{:.3}", (passes * batch_size) as f64 / start.elapsed().as_secs_f64());
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// A file for each tap but the last layer's, and as many bytes as a batch's output of it has.
struct TapFiles(Vec<(File, Vec<u8>)>);

impl TapFiles {
    fn create(
        path: &str,
        network: &Network,
        taps: &[Tap],
        config: &NetworkConfig,
    ) -> Result<TapFiles, Box<dyn Error>> {
        let last = network.plan().layers.len() - 1;
        let outputs = taps.iter().zip(network.output_shapes());
        let further = outputs.filter(|(tap, _)| tap.layer < last).enumerate();
        let files = further.map(|(index, (_, shape))| {
            let bytes = config.batch_size * shape.len() * size_of::<f32>();
            Ok((File::create(format!("{path}.{index}"))?, vec![1; bytes]))
        });
        Ok(TapFiles(files.collect::<Result<_, std::io::Error>>()?))
    }

    /// Hashes and writes all outputs of a batch, to files that are empty before, since writing over the bytes of
    /// a file would cost less than adding to it.
    fn write(&mut self) -> Result<(), Box<dyn Error>> {
        for (file, bytes) in &mut self.0 {
            file.set_len(0)?;
            file.rewind()?;
            black_box(blake3::hash(bytes));
            file.write_all(bytes)?;
        }
        Ok(())
    }
}

/// The taps that the options request.
fn taps() -> Result<Vec<Tap>, Box<dyn Error>> {
    let pooling = match option("pooling", "none".to_owned()).as_str() {
        "none" => Pooling::None,
        "avg" => Pooling::Avg,
        "max" => Pooling::Max,
        other => return Err(format!("--pooling: expected none, avg or max, got {other:?}").into()),
    };
    let taps = option("taps", (vgg16::LAYERS.len() - 1).to_string());
    let layers = taps.split(',').map(str::parse::<usize>);
    let tap = |layer: usize| {
        let is_last = layer + 1 == vgg16::LAYERS.len();
        let pooling = if is_last { Pooling::None } else { pooling };
        Tap { layer, at: TapPoint::AfterRelu, pooling }
    };
    layers.map(|layer| Ok(tap(layer?))).collect()
}

/// The median time of a pass, over as many passes as fit into `seconds` and at least three.
fn passes<E>(seconds: Duration, mut pass: impl FnMut() -> Result<(), E>) -> Result<Duration, E> {
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < seconds || times.len() < 3 {
        let start = Instant::now();
        pass()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// The floating-point operations per second of one core that only multiplies and adds, which is the limit
/// of any product. It is the best of some short runs.
fn fma_peak() -> f64 {
    const TURNS: usize = 1 << 20;
    /// Enough independent sums to hide the latency, few enough for the registers.
    const SUMS: usize = 12;

    #[inline(always)]
    fn chain<const LANES: usize>(factor: f32) -> [[f32; LANES]; SUMS] {
        let mut sums = [[factor; LANES]; SUMS];
        for _ in 0..TURNS {
            for sum in &mut sums {
                for lane in sum {
                    *lane = lane.mul_add(factor, factor);
                }
            }
        }
        sums
    }
    fn portable(factor: f32) {
        black_box(chain::<8>(factor));
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn avx2(factor: f32) {
        black_box(chain::<8>(factor));
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn avx512(factor: f32) {
        use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_set1_ps};
        let factor = _mm512_set1_ps(factor);
        let mut sums = [factor; SUMS];
        for _ in 0..TURNS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, factor, factor);
            }
        }
        black_box(sums);
    }

    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code)] // To call functions for other instruction sets.
    let best = || -> Option<(usize, fn(f32))> {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature is there.
            return Some((16, |factor| unsafe { avx512(factor) }));
        }
        // SAFETY: the features are there.
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
            .then_some((8, |factor| unsafe { avx2(factor) }))
    };
    #[cfg(not(target_arch = "x86_64"))]
    let best = || None;
    let (lanes, run) = best().unwrap_or((8, portable as fn(f32)));
    let seconds = (0..20)
        .map(|_| {
            let start = Instant::now();
            run(black_box(0.5));
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    (2 * TURNS * SUMS * lanes) as f64 / seconds
}

/// The peak resident memory of this process; `None` if the system does not tell it.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}
