//! Rows that are read in windows: which, in what order, and in how much memory.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use feature_cache::{Layout, SplitName};
use fused_head::{Parameters, Row, Trainer};

use super::{Fixture, GO_ON, config, unheard, whole_row};
use crate::config::TrainConfig;
use crate::event::Event;
use crate::features::order::{RowOrder, windows_in_memory};
use crate::features::pooled::PooledSplit;
use crate::features::rows::Sizes;
use crate::features::stream::Stream;
use crate::resources::{Memory, Resources};
use crate::train::plan::{EVALUATION_BATCH, Pass, Plan, SplitSizes, Streamed};
use crate::views_per_epoch::ViewsPerEpoch;
use crate::{Error, train};

const ROWS: usize = 1000;
const ROW_LEN: usize = 256;

/// Rows of which the first ones have many elements and the last ones few.
fn sparse() -> Fixture {
    Fixture::filled(&["conv5_3"], &[vec![ROW_LEN, 2, 2]], ROWS, sparse_value)
}

fn sparse_value(row: usize, index: usize) -> f32 {
    let period = 40 + row / 20;
    if (row * 7 + index * 13).is_multiple_of(period) { (row % 9 + 1) as f32 } else { 0.0 }
}

fn dense() -> Fixture {
    Fixture::filled(&["conv5_3"], &[vec![ROW_LEN, 2, 2]], ROWS, dense_value)
}

fn dense_value(row: usize, index: usize) -> f32 {
    ((row * 64 + index) * 37 % 101) as f32
}

/// As many rows, which are those of images and of three copies of each.
fn copies(value: fn(usize, usize) -> f32) -> Fixture {
    Fixture::of_copies(&["conv5_3"], &[vec![ROW_LEN, 2, 2]], ROWS, 3, value)
}

fn open<'a>(fixture: &'a Fixture) -> PooledSplit<'a> {
    PooledSplit::open(fixture.features(), SplitName::Train, &mut unheard).unwrap()
}

/// The windows come in the order of the epochs, whatever the batch size, with the rows' numbers, and no
/// more of them are in memory than were asked for.
#[test]
fn rows_come_in_the_order_of_the_epochs() {
    for fixture in [sparse(), dense()] {
        let mut split = open(&fixture);
        split.keep_in_memory(true, &mut unheard).unwrap();
        let all: Vec<usize> = (0..ROWS).collect();
        let mut buffer = None;
        let rows = split.read(&all, &mut buffer).unwrap();
        let expected: Vec<Vec<f32>> = rows.into_iter().map(|row| whole_row(row, ROW_LEN)).collect();
        split.keep_in_memory(false, &mut unheard).unwrap();
        let sizes = split.sizes().unwrap();
        for (window, batch) in
            [(128, 1), (128, 100), (128, 128), (192, 129), (128, 600), (192, 1000)]
        {
            let windows = windows_in_memory(window, batch);
            let mut order = RowOrder::new(ROWS, Some(window));
            std::thread::scope(|scope| {
                let streamed = RowOrder::new(ROWS, Some(window));
                let bytes = sizes.at_most(window);
                let windows_of = (window, windows);
                let begun = Stream::begin(scope, &split, streamed, windows_of, bytes, 2, &GO_ON);
                let mut stream = begun.unwrap();
                for _ in 0..2 {
                    for expected_batch in order.next_epoch().chunks(batch) {
                        let count = expected_batch.len();
                        assert_eq!(stream.next_batch(count).unwrap().unwrap(), expected_batch);
                        for (&row, found) in expected_batch.iter().zip(stream.rows(count)) {
                            assert_eq!(whole_row(found, ROW_LEN), expected[row], "{row}");
                        }
                        assert!(stream.held() <= windows, "{window}, {batch}");
                        stream.pass(count);
                    }
                }
                assert_eq!(stream.held(), 0);
            });
        }
        // Whoever stops in the middle does not wait for the rest.
        std::thread::scope(|scope| {
            let order = RowOrder::new(ROWS, Some(128));
            let begun = Stream::begin(scope, &split, order, (128, 2), 0, 1 << 40, &GO_ON);
            begun.unwrap().next_batch(1).unwrap().unwrap();
        });
        // The reader itself listens to whoever says stop, and the trainer does not wait in vain.
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let order = RowOrder::new(ROWS, Some(128));
            let begun = Stream::begin(scope, &split, order, (128, 2), 0, 1 << 40, &stop);
            let mut stream = begun.unwrap();
            stream.next_batch(1).unwrap().unwrap();
            stop.store(true, Ordering::Relaxed);
            while stream.next_batch(1).unwrap().is_some() {
                stream.pass(1);
            }
        });
    }
}

/// With one view of each image an epoch, a window has the rows of blocks of images, of whatever view, within the memory that
/// is counted for it.
#[test]
fn one_view_of_each_image_is_streamed() {
    let images = 250;
    // Copies have more elements than the images, and the last images most.
    let value = |row: usize, index: usize| {
        let period = 60 - 10 * (row / images) - row % images / 20;
        if (row * 7 + index * 13).is_multiple_of(period) { (row % 9 + 1) as f32 } else { 0.0 }
    };
    let fixture = Fixture::of_copies(&["conv5_3"], &[vec![ROW_LEN, 2, 2]], 4 * images, 3, value);
    let mut split = open(&fixture);
    assert_eq!((split.rows(), split.images()), (1000, images));
    split.keep_in_memory(true, &mut unheard).unwrap();
    let all: Vec<usize> = (0..ROWS).collect();
    let mut buffer = None;
    let rows = split.read(&all, &mut buffer).unwrap();
    let expected: Vec<Vec<f32>> = rows.into_iter().map(|row| whole_row(row, ROW_LEN)).collect();
    split.keep_in_memory(false, &mut unheard).unwrap();
    let sizes = split.sizes_of_turns().unwrap();
    let mut rows = split.no_rows(0, 0);
    let mut order = RowOrder::of_views(images, ROWS, Some(128));
    for _ in 0..12 {
        for window in order.next_epoch().chunks(128) {
            assert!(split.fill(window, &mut rows, || false).unwrap());
            let elements = (rows.rows.elements() * (size_of::<f32>() + size_of::<u16>())) as u64;
            let starts = ((window.len() + 1) * size_of::<usize>()) as u64;
            assert!(elements + starts <= sizes.at_most(window.len()), "{window:?}");
        }
    }
    let mut order = RowOrder::of_views(images, ROWS, Some(128));
    std::thread::scope(|scope| {
        let streamed = RowOrder::of_views(images, ROWS, Some(128));
        let bytes = sizes.at_most(128);
        let begun = Stream::begin(scope, &split, streamed, (128, 2), bytes, 8, &GO_ON);
        let mut stream = begun.unwrap();
        let mut seen = vec![0; ROWS];
        for _ in 0..8 {
            for batch in order.next_epoch().chunks(100) {
                assert_eq!(stream.next_batch(batch.len()).unwrap().unwrap(), batch);
                for (&row, found) in batch.iter().zip(stream.rows(batch.len())) {
                    assert_eq!(whole_row(found, ROW_LEN), expected[row], "{row}");
                    seen[row] += 1;
                }
                stream.pass(batch.len());
            }
        }
        assert!(seen.iter().all(|&times| times == 2), "twice in eight epochs of four views");
    });
}

/// The bytes that a window's rows may take, by the largest block, are as many as any window takes.
#[test]
fn no_window_takes_more_than_is_counted() {
    let fixture = sparse();
    let mut split = open(&fixture);
    let sizes = split.sizes().unwrap();
    let mut rows = split.no_rows(0, 0);
    for window in [128, 192, 320, 512] {
        let mut order = RowOrder::new(ROWS, Some(window));
        for _ in 0..20 {
            for window in order.next_epoch().chunks(window) {
                assert!(split.fill(window, &mut rows, || false).unwrap());
                let elements =
                    (rows.rows.elements() * (size_of::<f32>() + size_of::<u16>())) as u64;
                let starts = ((window.len() + 1) * size_of::<usize>()) as u64;
                assert!(elements + starts <= sizes.at_most(window.len()), "{window:?}");
            }
        }
    }
    assert!(sizes.all < 4 * (ROWS * ROW_LEN) as u64 / 2, "{sizes:?}");
}

/// A file that shrinks while its rows are read is an error.
#[test]
fn rows_that_cannot_be_read_are_an_error() {
    for (fixture, name) in [(sparse(), "train.data.npy"), (dense(), "train.npy")] {
        let split = open(&fixture);
        let path = fixture.pooled().join(name);
        fs::File::options().write(true).open(&path).unwrap().set_len(300).unwrap();
        std::thread::scope(|scope| {
            let order = RowOrder::new(ROWS, Some(128));
            let begun = Stream::begin(scope, &split, order, (128, 2), 0, 1, &GO_ON);
            let mut stream = begun.unwrap();
            let read = (0..ROWS).find_map(|_| stream.next_batch(1).map(|_| stream.pass(1)).err());
            match read.unwrap() {
                Error::File(error) => {
                    assert_eq!(error.path, path.canonicalize().unwrap_or(path.clone()))
                }
                error => panic!("{error}"),
            }
        });
    }
}

/// Memory in which the heads and `rows` have room, of which `fitting` bytes are for rows.
fn memory_for(fixture: &Fixture, config: &TrainConfig, fitting: impl Fn(u64) -> u64) -> Memory {
    let mut split = open(fixture);
    let training = split.sizes().unwrap();
    let mut validation =
        PooledSplit::open(fixture.features(), SplitName::Val, &mut unheard).unwrap();
    let validation = Some(validation.sizes().unwrap());
    let turns = Some(split.sizes_of_turns().unwrap());
    let images = split.images();
    let sizes = SplitSizes { training, images, turns, validation, pseudo: None };
    let whole = memory_for_all(fixture, config, sizes);
    Memory::Given(whole - training.all + fitting(training.all))
}

fn plan(
    fixture: &Fixture,
    config: &TrainConfig,
    sizes: SplitSizes,
    memory: u64,
) -> Result<Plan, Error> {
    let TrainConfig { epochs, batch_size, views_per_epoch, .. } = *config;
    let hidden = config.hidden_layers();
    let pass = Pass { hidden, normalises_inputs: false, epochs, batch_size, views_per_epoch };
    let resources = Resources { threads: 1, memory: Memory::Given(memory) };
    Plan::new(fixture.features(), sizes, pass, 1, resources)
}

/// The least memory in which no training row is streamed.
fn memory_for_all(fixture: &Fixture, config: &TrainConfig, sizes: SplitSizes) -> u64 {
    let in_memory = |memory: u64| {
        plan(fixture, config, sizes, memory).is_ok_and(|plan| plan.streamed.is_none())
    };
    let (mut low, mut high) = (0, 1 << 40);
    while low + 1 < high {
        let middle = (low + high) / 2;
        *(if in_memory(middle) { &mut high } else { &mut low }) = middle;
    }
    high
}

/// While training rows are streamed, validation rows that take an eighth of the room stay in memory, and the
/// windows have the rest.
#[test]
fn few_validation_rows_stay_in_memory() {
    let fixture = dense();
    let config = config();
    let training = open(&fixture).sizes().unwrap();
    for (rows, stay) in [(6, true), (142, true), (143, false), (900, false)] {
        let validation = Sizes::new(Layout::Dense, (rows, ROW_LEN), 0, 0);
        let validation_sizes = Some(validation);
        let sizes = SplitSizes {
            training,
            images: ROWS,
            turns: None,
            validation: validation_sizes,
            pseudo: None,
        };
        // One byte less than all rows and a batch of validation rows take.
        let memory = memory_for_all(&fixture, &config, sizes) - 1;
        let batch = validation.all.min(validation.at_most(EVALUATION_BATCH));
        let room = training.all + batch - 1;
        let plan = plan(&fixture, &config, sizes, memory).unwrap();
        assert_eq!(plan.validation_fits, stay, "{rows}");
        let Streamed { windows, bytes, .. } = plan.streamed.unwrap();
        let others = if stay { validation.all } else { batch };
        assert!(windows as u64 * bytes <= room - others, "{rows}");
    }
}

fn head(
    fixture: &Fixture,
    config: &TrainConfig,
    memory: Memory,
    out: &Path,
) -> (Option<usize>, Vec<u8>) {
    let mut window = None;
    let mut report = |event: Event<'_>| {
        if let Event::Streaming { window: rows, .. } = event {
            window = Some(rows);
        }
    };
    let resources = Resources { threads: 2, memory };
    let run = train(fixture.features(), config, resources, out, &mut report, &GO_ON).unwrap();
    assert_eq!(run.summary().unwrap().streamed_window, window);
    (window, fs::read(run.folder().join("head.safetensors")).unwrap())
}

/// The head that dense rows give, trained on one after the other in the order of this window.
fn reference(fixture: &Fixture, config: &TrainConfig, window: Option<usize>) -> Parameters {
    let split = open(fixture);
    let all: Vec<usize> = (0..ROWS).collect();
    let mut buffer = None;
    let rows = split.read(&all, &mut buffer).unwrap();
    let rows: Vec<Vec<f32>> = rows.into_iter().map(|row| whole_row(row, ROW_LEN)).collect();
    let shape = fixture.features().head_shape(config.hidden_layers(), false);
    let initial = [Parameters::glorot(shape, config.seed)];
    let mut trainer =
        Trainer::new(shape, &[config.head_config(&[], 2)], &initial, config.batch_size, 1).unwrap();
    let mut order = match config.views_per_epoch {
        ViewsPerEpoch::All => RowOrder::new(ROWS, window),
        ViewsPerEpoch::One => RowOrder::of_views(split.images(), ROWS, window),
    };
    for _ in 0..config.epochs {
        for batch in order.next_epoch().chunks(config.batch_size) {
            let batch_rows: Vec<Row<'_>> =
                batch.iter().map(|&row| Row::Dense(&rows[row])).collect();
            let labels: Vec<i64> = batch.iter().map(|&row| row as i64 % 2).collect();
            trainer.step(&batch_rows, &labels, &[config.learning_rate]).unwrap();
        }
    }
    trainer.parameters(0)
}

/// Sparse or dense, in memory or streamed, with a view or without: the head is, bit for bit, the one that
/// dense rows in the same order give.
#[test]
fn the_same_order_gives_the_same_head() {
    let (one, all) = (ViewsPerEpoch::One, ViewsPerEpoch::All);
    for (name, fixture, views_per_epoch) in [
        ("sparse", sparse(), all),
        ("dense", dense(), all),
        ("sparse, of copies", copies(sparse_value), all),
        ("sparse, of copies in turn", copies(sparse_value), one),
        ("dense, of copies in turn", copies(dense_value), one),
    ] {
        for batch_size in [64, 200] {
            let config = TrainConfig { epochs: 3, batch_size, views_per_epoch, ..config() };
            let out = |way: &str| fixture.path(&format!("{way} {batch_size}"));
            for (way, streams) in [("whole", false), ("streamed", true)] {
                let memory =
                    memory_for(&fixture, &config, |all| if streams { all - 1 } else { all });
                let (window, with_view) = head(&fixture, &config, memory, &out(way));
                assert_eq!(window.is_some(), streams, "{name}");
                let expected = reference(&fixture, &config, window);
                let expected = crate::store::parameters::to_safetensors(&expected);
                assert!(with_view == expected, "{name}, {way}, {batch_size}");

                fs::remove_dir_all(fixture.pooled()).unwrap();
                fs::write(fixture.pooled(), b"").unwrap();
                let without = head(&fixture, &config, memory, &out(&format!("{way} without")));
                fs::remove_file(fixture.pooled()).unwrap();
                assert!(without == (window, expected), "{name}, {way}, {batch_size}");
            }
        }
    }
}
