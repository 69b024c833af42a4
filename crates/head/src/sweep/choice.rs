//! The choice among a sweep's settings, and the one evaluation on the test split after it.

use feature_cache::SplitName;
use fused_head::HeadShape;
use report::{Chosen, Group, HeadResult, MeanSd, ranking};

use crate::calibration::calibrate;
use crate::error::Error;
use crate::evaluate::{EvaluatedHeads, evaluate_together};
use crate::event::Event;
use crate::features::cache::Features;
use crate::resources::Resources;
use crate::store::evaluation::TestEvaluation;
use crate::store::run::Run;
use crate::store::sweep::UnfinishedSweep;

/// Chooses by validation, then evaluates the chosen heads on the test split: top-1 of all of them, and
/// the mistakes of the best. Without a labelled test split, the mistakes are those on validation.
///
/// The heads are evaluated in one pass over the split, and as an ensemble as well; in several passes, and not as an
/// ensemble, only if they do not fit into memory together. If `calibrates`, each gets its temperature first, without
/// which the probabilities that an ensemble averages would be others than from then on.
pub(super) fn choose(
    features: Features<'_>,
    sweep: &UnfinishedSweep,
    calibrates: bool,
    resources: Resources,
    report: &mut dyn FnMut(Event<'_>),
) -> Result<(Chosen, TestEvaluation), Error> {
    let (group, val) = best(sweep.results())?;
    if calibrates {
        for head in &group.heads {
            calibrate(&sweep.run(head)?, features.cache(), resources.threads, report)?;
        }
    }
    let best = group.best().expect("a setting has at least one head");
    let split = split_of_mistakes(features);
    // Without test labels, only the best head is of interest.
    let mut heads = group.heads.clone();
    heads.retain(|head| split == SplitName::Test || std::ptr::eq(*head, best));
    let runs = heads.iter().map(|head| sweep.run(head)).collect::<Result<Vec<Run>, Error>>()?;
    let best_index = heads.iter().position(|head| std::ptr::eq(*head, best));
    let best_index = best_index.expect("the best head is one of them");
    let together = heads_that_fit(runs[0].config().shape, resources);
    let (mut top1, mut ensemble, mut evaluation) = (Vec::new(), None, None);
    for (part, first) in runs.chunks(together).zip((0..).step_by(together)) {
        let in_part = best_index.checked_sub(first).filter(|&index| index < part.len());
        let detailed = in_part.unwrap_or(0);
        let evaluated =
            evaluate_together(part, detailed, features, split, resources.threads, report)?;
        top1.extend_from_slice(&evaluated.top1);
        if part.len() == runs.len() && part.len() > 1 {
            ensemble = Some(evaluated.ensemble_top1);
        }
        if in_part.is_some() {
            evaluation = Some(evaluation_of(evaluated, features, split));
        }
    }
    let chosen = Chosen {
        setting: group.setting,
        val,
        test: MeanSd::of(&top1).filter(|_| split == SplitName::Test),
        ensemble,
        best_run: best.run.clone(),
    };
    Ok((chosen, evaluation.expect("the best head is in one of the parts")))
}

/// The split whose mistakes a report shows.
pub(super) fn split_of_mistakes(features: Features<'_>) -> SplitName {
    if features.is_labelled(SplitName::Test) { SplitName::Test } else { SplitName::Val }
}

/// The part of an evaluation that is kept for the report.
pub(super) fn evaluation_of(
    evaluated: EvaluatedHeads,
    features: Features<'_>,
    split: SplitName,
) -> TestEvaluation {
    TestEvaluation {
        split,
        rows: evaluated.rows,
        class_names: features.class_names().to_vec(),
        confusion: evaluated.best.confusion,
        mistakes: evaluated.best.mistakes,
        manifest: features.manifest_json(),
    }
}

/// The setting with the best mean validation accuracy, none of whose heads diverged.
fn best(results: &[HeadResult]) -> Result<(Group<'_, HeadResult>, MeanSd), Error> {
    let best = ranking(results).into_iter().next();
    let with_top1 = best.and_then(|group| group.val_top1().map(|top1| (group, top1)));
    with_top1.filter(|(_, top1)| !top1.mean.is_nan()).ok_or(Error::EverySettingDiverged)
}

/// How many heads of a shape fit into memory, at least one.
fn heads_that_fit(shape: HeadShape, resources: Resources) -> usize {
    let weights: usize = shape.dense_sizes().map(|(inputs, outputs)| inputs * outputs).sum();
    // Twice, since the file's parameters and the kernels' are in memory together for a moment.
    let bytes = 2 * weights * size_of::<f32>();
    usize::try_from(resources.memory.bytes() / bytes.max(1) as u64).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(p: f64, val_top1: f64) -> HeadResult {
        HeadResult {
            arch: "fastai".into(),
            hidden: 128.into(),
            p,
            learning_rate: 0.001,
            schedule: "constant".into(),
            weight_decay: 0.0,
            label_smoothing: 0.0,
            mixup: 0.0,
            form: String::new(),
            seed: 0,
            epochs: 1,
            kept_epoch: None,
            train_loss: val_top1,
            train_top1: val_top1,
            val_loss: Some(0.1),
            val_top1: Some(val_top1),
            run: String::new(),
        }
    }

    #[test]
    fn a_setting_of_which_a_head_diverged_is_never_chosen() {
        let results = [result(0.8, f64::NAN), result(0.8, 0.99), result(0.5, 0.2)];
        assert_eq!(best(&results).unwrap().0.setting.p, 0.5);
        assert!(matches!(best(&results[..2]), Err(Error::EverySettingDiverged)));
    }
}
