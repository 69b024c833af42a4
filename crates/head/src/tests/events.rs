//! Reads of the splits, counted by the events, and the flag that stops training.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use feature_cache::SplitName;

use super::{Fixture, GO_ON, RESOURCES, config, unheard};
use crate::error::Interruption;
use crate::{
    Error, Event, Grid, Sweep, TrainConfig, evaluate, predict, sweep, train, write_report,
};

fn grid() -> Grid {
    Grid {
        hidden: vec![8.into()],
        ps: vec![0.0, 0.5],
        learning_rates: vec![0.01],
        seeds: vec![0, 1, 2],
        common: TrainConfig { epochs: 2, batch_size: 4, ..TrainConfig::default() },
        ..Grid::default()
    }
}

/// A listener that notes the splits that are read.
fn noting(reads: &mut Vec<SplitName>) -> impl FnMut(Event<'_>) {
    |event| {
        if let Event::ReadSplit { split, .. } = event {
            reads.push(split);
        }
    }
}

#[test]
fn a_sweep_with_its_report_reads_the_test_split_once() {
    let fixture = Fixture::new();
    let root = fixture.path("sweeps");
    let mut reads = Vec::new();
    let swept = sweep(
        fixture.features(),
        &grid(),
        false,
        RESOURCES,
        &root,
        &mut noting(&mut reads),
        &GO_ON,
    );
    let swept = swept.unwrap();
    assert_eq!(swept.summary().test.unwrap().seeds, 3, "all seeds of the chosen setting");
    write_report(&swept, 1, &mut noting(&mut reads)).unwrap();
    let again = Sweep::open(swept.folder()).unwrap();
    write_report(&again, 1, &mut noting(&mut reads)).unwrap();
    assert_eq!(reads, [SplitName::Train, SplitName::Val, SplitName::Test]);
}

#[test]
fn a_finished_sweep_and_a_finished_run_are_answered_without_training() {
    let fixture = Fixture::new();
    let (runs, sweeps) = (fixture.path("runs"), fixture.path("sweeps"));
    let train = |report: &mut dyn FnMut(Event<'_>)| {
        train(fixture.features(), &config(), RESOURCES, &runs, report, &GO_ON).unwrap()
    };
    let sweep = |report: &mut dyn FnMut(Event<'_>)| {
        sweep(fixture.features(), &grid(), false, RESOURCES, &sweeps, report, &GO_ON).unwrap()
    };
    train(&mut unheard);
    sweep(&mut unheard);
    let mut events = Vec::new();
    sweep(&mut |event| events.push(format!("{event:?}")));
    assert_eq!(events, [""; 0]);
    train(&mut |event| events.push(format!("{event:?}")));
    // Whether the splits can be trained on is checked even so.
    assert!(events.iter().all(|event| event.starts_with("ReadSplit")), "{events:?}");
}

/// The same arithmetic in training and evaluation: not only close, but equal.
#[test]
fn evaluation_finds_the_validation_accuracy_of_training() {
    let fixture = Fixture::new();
    for (seed, threads) in [(0, 1), (1, 2), (2, 3)] {
        let config = TrainConfig { epochs: 3, learning_rate: 0.01, seed, ..config() };
        let root = fixture.path("runs");
        let run =
            train(fixture.features(), &config, RESOURCES, &root, &mut unheard, &GO_ON).unwrap();
        let evaluated =
            evaluate(&run, &fixture.cache, SplitName::Val, threads, &mut unheard).unwrap();
        let last = run.summary().unwrap().last;
        assert_eq!(Some(evaluated.top1), last.val_top1);
        let difference = evaluated.loss - last.val_loss.unwrap();
        assert!(difference.abs() <= 1e-6 * evaluated.loss.max(1.0), "{difference}");
        let predicted =
            predict(&run, &fixture.cache, SplitName::Val, threads, &mut unheard).unwrap();
        let right = (0..).zip(&predicted).filter(|(row, found)| found.class == row % 2).count();
        assert_eq!(right as f64 / predicted.len() as f64, evaluated.top1);
    }
}

/// A sweep of an earlier format has no evaluation: the report makes one, says so, and keeps it.
#[test]
fn a_report_evaluates_once_what_an_earlier_format_did_not_keep() {
    let fixture = Fixture::new();
    let root = fixture.path("sweeps");
    let swept =
        sweep(fixture.features(), &grid(), false, RESOURCES, &root, &mut unheard, &GO_ON).unwrap();
    let file = swept.folder().join("evaluation.json");
    let kept = fs::read(&file).unwrap();
    let page = |sweep: &Sweep, reads: &mut Vec<SplitName>| {
        fs::read_to_string(write_report(sweep, 1, &mut noting(reads)).unwrap()).unwrap()
    };
    let mut reads = Vec::new();
    let expected = page(&swept, &mut reads);
    fs::remove_file(&file).unwrap();
    assert_eq!(page(&swept, &mut reads), expected);
    assert_eq!(reads, [SplitName::Test]);
    assert_eq!(fs::read(&file).unwrap(), kept);
    assert_eq!(page(&swept, &mut reads), expected);
    assert_eq!(reads, [SplitName::Test], "the second time it is there");
}

/// The features are not needed any more.
#[test]
fn a_report_is_made_of_the_sweeps_own_files() {
    let fixture = Fixture::new();
    let root = fixture.path("sweeps");
    let swept =
        sweep(fixture.features(), &grid(), false, RESOURCES, &root, &mut unheard, &GO_ON).unwrap();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let first = read(&write_report(&swept, 1, &mut unheard).unwrap());
    fs::remove_dir_all(fixture.cache.folder()).unwrap();
    assert_eq!(read(&write_report(&swept, 1, &mut unheard).unwrap()), first);
}

#[test]
fn training_stops_when_it_is_told_to_and_says_what_is_kept() {
    let fixture = Fixture::new();
    let root = fixture.path("runs");
    let config = TrainConfig { epochs: 4, ..config() };
    for (epoch, kept) in [(1, None), (3, Some(1))] {
        let stop = AtomicBool::new(false);
        let mut report = |event: Event<'_>| {
            if let Event::Training(progress) = event {
                stop.store(progress.epoch == epoch, Ordering::Relaxed);
            }
        };
        let stopped = train(fixture.features(), &config, RESOURCES, &root, &mut report, &stop);
        match stopped.unwrap_err() {
            Error::Interruption(Interruption::InFirstEpoch) => assert_eq!(kept, None),
            Error::Interruption(Interruption::OfTraining { epochs_done, epochs: 4, path }) => {
                // What was exported last: after the first epoch, and then every two seconds.
                assert_eq!(Some(epochs_done), kept);
                assert_eq!(crate::Run::open(&path).unwrap().metrics().unwrap().len(), 1);
            }
            other => panic!("{other}"),
        }
    }
    let whole = train(fixture.features(), &config, RESOURCES, &root, &mut unheard, &GO_ON).unwrap();
    assert_eq!(whole.metrics().unwrap().len(), 4);
}
