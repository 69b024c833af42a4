//! Heads that learn from others, with little memory: the rows of the teacher are read as they are needed.

use feature_cache::SplitName;

use super::{Fixture, GO_ON, RESOURCES, config, unheard};
use crate::config::TrainConfig;
use crate::error::FeaturesError;
use crate::event::Event;
use crate::features::cache::Features;
use crate::resources::{Memory, Resources};
use crate::store::run::Run;
use crate::teacher::{Lesson, PseudoLabels, Teacher};
use crate::views_per_epoch::ViewsPerEpoch;
use crate::{Error, train};

/// Many rows for training, and a few for test.
fn fixture(copies: u32) -> Fixture {
    let value = |row: usize, index: usize| ((row * 64 + index) * 37 % 101) as f32;
    Fixture::of_copies(&["conv5_3"], &[vec![64, 2, 2]], 2000, copies, value)
}

fn trained(
    features: Features<'_>,
    train_config: &TrainConfig,
    memory: u64,
    out: &str,
    fixture: &Fixture,
) -> Result<(Run, bool), Error> {
    let resources = Resources { memory: Memory::Given(memory), ..RESOURCES };
    let mut streams = false;
    let report = &mut |event: Event<'_>| streams |= matches!(event, Event::Streaming { .. });
    let run = train(features, train_config, resources, &fixture.path(out), report, &GO_ON)?;
    Ok((run, streams))
}

fn taught_by(fixture: &Fixture, lesson: Lesson) -> Teacher {
    let config = TrainConfig { seed: 9, ..config() };
    let out = fixture.path("teacher");
    let run = train(fixture.features(), &config, RESOURCES, &out, &mut unheard, &GO_ON).unwrap();
    Teacher::open(&[run.folder().to_path_buf()], lesson, &fixture.cache).unwrap()
}

#[test]
fn lessons_are_learned_whether_rows_are_streamed_or_not() {
    let split = SplitName::Test;
    for lesson in [
        Lesson::Distillation { temperature: 2.0, weight: 0.5 },
        Lesson::PseudoLabels { split, labels: PseudoLabels::Soft, share: 0.25 },
        Lesson::PseudoLabels { split, labels: PseudoLabels::Hard, share: 0.25 },
    ] {
        for (copies, views_per_epoch) in [(0, ViewsPerEpoch::All), (3, ViewsPerEpoch::One)] {
            let fixture = fixture(copies);
            let teacher = taught_by(&fixture, lesson);
            let features = fixture.features().taught(Some(&teacher));
            let config = TrainConfig { epochs: 4, batch_size: 20, views_per_epoch, ..config() };
            let (whole, streams) = trained(features, &config, 1 << 30, "whole", &fixture).unwrap();
            assert!(!streams);
            let record = whole.config().teacher.as_ref().unwrap();
            assert_eq!((record.lesson(), record.runs()), (lesson, 1));
            // The rows alone take 512 kB.
            let (streamed, streams) =
                trained(features, &config, 400 << 10, "streamed", &fixture).unwrap();
            assert!(streams && streamed.config().id() == whole.config().id());
            for run in [&whole, &streamed] {
                let epochs = run.metrics().unwrap();
                assert_eq!(epochs.len(), 4);
                assert!(epochs.iter().all(|epoch| epoch.train_loss.is_finite()), "{epochs:?}");
            }
            // Whoever learns otherwise is another head.
            let (alone, _) =
                trained(fixture.features(), &config, 1 << 30, "whole", &fixture).unwrap();
            assert_ne!(alone.config().id(), whole.config().id());
            assert_ne!(alone.parameters().unwrap(), whole.parameters().unwrap());
        }
    }
}

#[test]
fn copies_that_are_not_there_take_no_turns() {
    let fixture = fixture(0);
    let config = TrainConfig { views_per_epoch: ViewsPerEpoch::One, ..config() };
    let error = trained(fixture.features(), &config, 1 << 30, "runs", &fixture).unwrap_err();
    assert!(matches!(error, Error::Features(FeaturesError::NoViewsToTakeTurns { .. })), "{error}");
}
