//! The order of a sweep's settings and heads.

use std::cmp::Ordering;

use crate::data::{HeadResult, Setting, Sweep, TrainedHead};
use crate::mean_sd::MeanSd;

/// The heads of one setting.
#[derive(Debug)]
pub struct Group<'a, H> {
    /// Their common setting.
    pub setting: Setting,
    /// The heads, at least one, in the order of the input.
    pub heads: Vec<&'a H>,
}

/// The heads by setting, best mean validation top-1 first; among equals, the lowest validation loss first.
/// Settings without a validation top-1 and those with a head that diverged are last, in the order of the
/// input.
pub fn ranking<H: AsRef<HeadResult>>(heads: &[H]) -> Vec<Group<'_, H>> {
    let mut groups: Vec<Group<'_, H>> = Vec::new();
    for head in heads {
        let setting = head.as_ref().setting();
        match groups.iter_mut().find(|group| group.setting == setting) {
            Some(group) => group.heads.push(head),
            None => groups.push(Group { setting, heads: vec![head] }),
        }
    }
    let mean = |value: Option<MeanSd>| value.map(|value| value.mean);
    groups.sort_by(|a, b| {
        higher_first(mean(a.val_top1()), mean(b.val_top1())).then_with(|| {
            let loss = |group: &Group<'_, H>| mean(group.over_seeds(|head| head.val_loss));
            lower_first(loss(a), loss(b))
        })
    });
    groups
}

impl<'a, H: AsRef<HeadResult>> Group<'a, H> {
    /// A metric of the epoch whose head is kept, over the seeds that have it.
    pub(crate) fn over_seeds(&self, metric: impl Fn(&HeadResult) -> Option<f64>) -> Option<MeanSd> {
        let values: Vec<f64> =
            self.heads.iter().filter_map(|&head| metric(head.as_ref())).collect();
        MeanSd::of(&values)
    }

    /// Validation top-1 over the seeds; `None` if no head has one, and NaN if a head diverged.
    pub fn val_top1(&self) -> Option<MeanSd> {
        self.over_seeds(|head| head.val_top1)
    }

    /// The head with the best validation top-1; among equals, the last.
    pub fn best(&self) -> Option<&'a H> {
        let top1 = |head: &H| head.as_ref().val_top1;
        let best = self.heads.iter().rev().min_by(|a, b| higher_first(top1(a), top1(b)));
        best.copied()
    }
}

impl Sweep {
    /// See [`ranking`].
    pub(crate) fn groups(&self) -> Vec<Group<'_, TrainedHead>> {
        ranking(&self.heads)
    }

    /// The heads, best validation top-1 first.
    pub(crate) fn ranked_heads(&self) -> Vec<&HeadResult> {
        let mut heads: Vec<&HeadResult> = self.heads.iter().map(|head| &head.result).collect();
        heads.sort_by(|a, b| compare(a, b));
        heads
    }

    pub(crate) fn is_chosen(&self, setting: &Setting) -> bool {
        self.chosen.as_ref().is_some_and(|chosen| chosen.setting == *setting)
    }
}

/// Higher validation top-1 first, then lower validation loss.
fn compare(a: &HeadResult, b: &HeadResult) -> Ordering {
    higher_first(a.val_top1, b.val_top1).then_with(|| lower_first(a.val_loss, b.val_loss))
}

/// The higher number first, then those that are missing or not a number.
pub(crate) fn higher_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    lower_first(a.map(|a| -a), b.map(|b| -b))
}

/// The lower number first, then those that are missing or not a number.
pub(crate) fn lower_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    let known = |value: Option<f64>| value.filter(|value| !value.is_nan());
    match (known(a), known(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{head, small_sweep};

    #[test]
    fn best_first_and_unknown_last() {
        let mut sweep = small_sweep();
        let mut none = head("none", 0.1, 0, 0.0);
        (none.result.val_top1, none.result.val_loss) = (None, None);
        sweep.heads.insert(0, none);
        sweep.heads.insert(0, head("diverged", 0.1, 0, f64::NAN));
        let order = |heads: Vec<&HeadResult>| -> Vec<String> {
            heads.iter().map(|head| format!("{}/{}", head.run, head.seed)).collect()
        };
        assert_eq!(
            order(sweep.ranked_heads()),
            [
                "keras-0.6/1",
                "keras-0.6/0",
                "fastai-0.6/1",
                "fastai-0.6/0",
                "fastai-0.2/1",
                "fastai-0.2/0",
                "keras-0.2/1",
                "keras-0.2/0",
                "diverged-0.1/0",
                "none-0.1/0"
            ]
        );
        let groups = sweep.groups();
        assert_eq!(groups[0].best().map(|head| head.result.seed), Some(1));
        let groups = groups.iter().map(|group| &group.heads[0].result).collect();
        assert_eq!(
            order(groups),
            [
                "keras-0.6/0",
                "fastai-0.6/0",
                "fastai-0.2/0",
                "keras-0.2/0",
                "diverged-0.1/0",
                "none-0.1/0"
            ]
        );
    }

    #[test]
    fn equal_accuracies_are_told_apart_by_loss() {
        let mut better = head("fastai", 0.6, 0, 0.97);
        better.result.val_loss = Some(0.01);
        let sweep = Sweep { heads: vec![head("fastai", 0.2, 0, 0.97), better], chosen: None };
        assert_eq!(sweep.groups()[0].setting.p, 0.6);
        assert_eq!(sweep.ranked_heads()[0].p, 0.6);
    }

    #[test]
    fn the_mean_over_seeds_decides() {
        let heads = [
            head("fastai", 0.8, 0, 0.99),
            head("fastai", 0.8, 1, 0.80),
            head("fastai", 0.5, 0, 0.91),
            head("fastai", 0.5, 1, 0.92),
        ];
        let order: Vec<f64> = ranking(&heads).iter().map(|group| group.setting.p).collect();
        assert_eq!(order, [0.5, 0.8]);
    }

    #[test]
    fn a_setting_of_which_a_head_diverged_comes_last() {
        let heads = [
            head("fastai", 0.8, 0, f64::NAN),
            head("fastai", 0.8, 1, 0.99),
            head("fastai", 0.5, 0, 0.2),
        ];
        let ranking = ranking(&heads);
        let order: Vec<f64> = ranking.iter().map(|group| group.setting.p).collect();
        assert_eq!(order, [0.5, 0.8]);
        assert!(ranking[1].val_top1().unwrap().mean.is_nan());
    }
}
