//! Finished heads whose rows were streamed in other windows than they would be now.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::TrainConfig;
use crate::event::Event;
use crate::features::cache::Features;
use crate::resources::Resources;
use crate::store::run::Run;
use crate::train::plan::{Plan, SplitSizes, in_passes, run_config};

/// Reports which of the heads that are finished under `root` depend on other windows of streamed rows
/// than these resources would give.
pub(crate) fn report_other_windows(
    features: Features<'_>,
    sizes: SplitSizes,
    configs: &[TrainConfig],
    resources: Resources,
    root: &Path,
    report: &mut dyn FnMut(Event<'_>),
) {
    let mut others: BTreeMap<[Option<usize>; 2], usize> = BTreeMap::new();
    for (pass, configs) in in_passes(configs.iter().map(|config| run_config(features, config))) {
        // Finished heads need no memory, so one that would not fit is not an error here.
        let Ok(plan) = Plan::new(features, sizes, pass, configs.len(), resources) else {
            continue;
        };
        let window = plan.window();
        let runs = configs.iter().filter_map(|config| Run::open(&root.join(config.id())).ok());
        for summary in runs.filter_map(|run| run.summary().ok()) {
            if !summary.interrupted && summary.streamed_window != window {
                *others.entry([summary.streamed_window, window]).or_default() += 1;
            }
        }
    }
    for ([trained, now], heads) in others {
        report(Event::OtherWindow { heads, trained, now, memory: resources.memory });
    }
}
