//! A test that the memory of a process that trains one head after another, as a service or a notebook does,
//! does not grow.
//!
//! `SOAK=3600` sets the seconds; the default is five. The figures go to standard output.

#![allow(clippy::unwrap_used)] // A panic is how a test fails.
#![cfg(target_os = "linux")]

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use end_to_end::{Digits, Workplace};
use feature_cache::{Cache, SplitName};
use head::{Arch, Features, Memory, Resources, Schedule, TrainConfig, evaluate, train};

const MEBIBYTE: f64 = (1 << 20) as f64;
const EPOCHS: usize = 10;

/// The resident memory between two trainings, `at` a fraction of the test's time.
struct Sample {
    at: f64,
    bytes: f64,
}

/// The resident memory of this process in bytes, as the kernel counts it.
fn resident() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<f64>().unwrap() * 1024.0
}

fn median(samples: &[Sample], when: Range<f64>) -> f64 {
    let within = samples.iter().filter(|sample| when.contains(&sample.at));
    let mut bytes: Vec<f64> = within.map(|sample| sample.bytes).collect();
    bytes.sort_by(f64::total_cmp);
    bytes[bytes.len() / 2]
}

/// Opens the cache, trains a head, evaluates it and removes its run.
fn train_once(cache: &Path, runs: &Path, seed: u64) {
    let arch = if seed.is_multiple_of(2) { Arch::Fastai } else { Arch::Keras };
    let config = TrainConfig {
        arch,
        hidden: arch.hidden(),
        p: 0.5,
        epochs: EPOCHS,
        batch_size: 64,
        learning_rate: 0.001,
        schedule: Schedule::Cosine,
        seed,
        ..TrainConfig::default()
    };
    let cache = Cache::open(cache).unwrap();
    let resources = Resources { threads: 1, memory: Memory::Given(1 << 30) };
    let run = train(
        Features::new(&cache),
        &config,
        resources,
        runs,
        &mut |_| (),
        &AtomicBool::new(false),
    )
    .unwrap();
    evaluate(&run, &cache, SplitName::Test, 1, &mut |_| ()).unwrap();
    fs::remove_dir_all(run.folder()).unwrap();
}

#[test]
fn training_again_and_again_does_not_take_more_and_more_memory() {
    let seconds: f64 = std::env::var("SOAK").map_or(5.0, |seconds| seconds.parse().unwrap());
    // The allocator keeps a varying number of the heads' large buffers. If each training leaked one head,
    // memory would grow by some 50 MiB in five seconds. In an hour, 300 bytes per training are noticed.
    let tolerance = if seconds < 600.0 { 16.0 } else { 8.0 } * MEBIBYTE;
    let workplace = Workplace::empty();
    workplace.write_idx("digits", &Digits::first("train", 600), &Digits::first("t10k", 100));
    let (cache, runs) = (workplace.extract(), workplace.path("runs"));
    let started = Instant::now();
    let (mut trainings, mut samples) = (0, Vec::new());
    while started.elapsed().as_secs_f64() < seconds {
        // One head of each architecture, since they take different amounts of memory.
        for _ in 0..2 {
            train_once(&cache, &runs, trainings);
            trainings += 1;
        }
        samples.push(Sample { at: started.elapsed().as_secs_f64() / seconds, bytes: resident() });
    }
    let warm = median(&samples, 0.1..0.3);
    let end = median(&samples, 0.8..f64::INFINITY);
    let most = samples.iter().fold(0.0f64, |most, sample| most.max(sample.bytes));
    println!(
        "{seconds} s: {trainings} trainings of {EPOCHS} epochs; resident memory {:.1} MiB after \
         warming up, {:.1} MiB at the end ({:+.2} %), at most {:.1} MiB",
        warm / MEBIBYTE,
        end / MEBIBYTE,
        100.0 * (end / warm - 1.0),
        most / MEBIBYTE,
    );
    assert!(end <= warm + tolerance, "memory grew from {warm} to {end} bytes");
}
