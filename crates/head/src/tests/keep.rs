//! Heads that stop before the others of their pass.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use feature_cache::SplitName;

use super::{Fixture, GO_ON, RESOURCES, config, unheard};
use crate::error::Interruption;
use crate::event::Event;
use crate::features::labelled::Splits;
use crate::keep::Keep;
use crate::train::train_together;
use crate::{Error, Run, TrainConfig, train};

/// The rows that heads leave out when they stop early are neither done nor to be done.
#[test]
fn progress_counts_the_rows_that_are_trained_on() {
    let fixture = Fixture::new();
    let rows = fixture.features().rows(SplitName::Train).unwrap();
    let stopping = TrainConfig { epochs: 200, seed: 4, patience: Some(2), ..config() };
    // The last one is in a pass of its own.
    let others = [
        TrainConfig { epochs: 20, ..stopping.clone() },
        TrainConfig { patience: None, epochs: 200, seed: 3, ..config() },
        TrainConfig { patience: None, epochs: 3, ..config() },
    ];
    let mut configs = vec![stopping];
    configs.extend(others);
    let (mut most, mut last) = (0, None);
    let mut listening = |event: Event<'_>| match event {
        Event::Training(progress) => {
            assert!(progress.done <= progress.total, "{progress:?}");
            most = most.max(progress.total);
        }
        Event::Trained(progress) => last = Some(progress),
        _ => {}
    };
    let mut splits = Splits::open(fixture.features(), &mut unheard).unwrap();
    let mut epochs = 0;
    let finished = |run: &Run, _: &_| -> Result<(), Error> {
        epochs += run.summary()?.last.epoch;
        Ok(())
    };
    let root = fixture.path("runs");
    train_together(&mut splits, &configs, RESOURCES, &root, &mut listening, &GO_ON, finished)
        .unwrap();
    let planned: usize = configs.iter().map(|config| config.epochs).sum();
    assert!(epochs < planned, "{epochs}");
    assert_eq!(most, planned * rows);
    let last = last.unwrap();
    assert_eq!((last.done, last.total), (epochs * rows, epochs * rows));
}

/// A head whose patience has ended is finished at once: whatever ends the others, it stays, and the same command
/// trains the others alone.
#[test]
fn a_head_that_stops_early_is_finished_while_the_others_go_on() {
    let fixture = Fixture::new();
    let going_on = TrainConfig { epochs: 200, seed: 3, ..config() };
    let stopping =
        TrainConfig { patience: Some(2), keep: Keep::BestLoss, seed: 4, ..going_on.clone() };
    let configs = [stopping.clone(), going_on.clone()];
    let root = fixture.path("runs");
    let together = |report: &mut dyn FnMut(Event<'_>), stop: &AtomicBool| {
        let mut splits = Splits::open(fixture.features(), report).unwrap();
        let mut runs = Vec::new();
        let finished = |run: &Run, _: &_| -> Result<(), Error> {
            runs.push(run.clone());
            Ok(())
        };
        train_together(&mut splits, &configs, RESOURCES, &root, report, stop, finished)?;
        Ok::<_, Error>(runs)
    };
    let stop = AtomicBool::new(false);
    let mut interrupting = |event: Event<'_>| {
        if let Event::Training(progress) = event {
            stop.store(progress.epoch == 199, Ordering::Relaxed);
        }
    };
    let error = together(&mut interrupting, &stop).unwrap_err();
    assert!(matches!(error, Error::Interruption(Interruption::OfTraining { .. })), "{error}");
    let states: Vec<(usize, bool)> = fs::read_dir(&root)
        .unwrap()
        .map(|run| Run::open(&run.unwrap().path()).unwrap().summary().unwrap())
        .map(|summary| (summary.last.epoch, summary.interrupted))
        .collect();
    let [(epochs, false)] = states.iter().copied().filter(|it| !it.1).collect::<Vec<_>>()[..]
    else {
        panic!("{states:?}")
    };
    assert!((3..199).contains(&epochs), "{epochs}");

    let mut continues = false;
    let mut listening = |event: Event<'_>| {
        continues |= matches!(event, Event::Continuing { finished: 1, heads: 2 });
    };
    let runs = together(&mut listening, &GO_ON).unwrap();
    assert!(continues);
    let head = |run: &Path| fs::read(run.join("head.safetensors")).unwrap();
    for (run, config) in runs.iter().zip([stopping, going_on]) {
        assert_eq!(run.config().train, config);
        let root = fixture.path("alone");
        let alone =
            train(fixture.features(), &config, RESOURCES, &root, &mut unheard, &GO_ON).unwrap();
        assert!(head(run.folder()) == head(alone.folder()), "{config:?}");
        let summaries = [run, &alone].map(|run| run.summary().unwrap());
        assert_eq!(summaries[0].last.epoch, summaries[1].last.epoch);
        assert_eq!(summaries[0].kept().val_loss, summaries[1].kept().val_loss);
    }
}
