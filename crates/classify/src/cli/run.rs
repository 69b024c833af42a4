//! `run`: images classified, with the results as they come.

use std::collections::HashMap;

use classify::{Classified, Classifier, Error, classify_all};
use dataset::Images;
use plural::counted;
use terminal::{Progress, say, with_causes};

use super::heat_maps::HeatMaps;
use super::output::{self, Columns, Outcome};
use super::{OutputForm, RunArgs, TOP, extractor_config};

pub(super) fn run(args: RunArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    if args.top.is_some() && args.format != OutputForm::Table {
        return Err(Error::NotTable);
    }
    let images = Images::find(&args.images, args.split.as_deref())?;
    if images.is_empty() {
        return Err(Error::NoImages);
    }
    if let (Some(split), false) = (&args.split, images.have_parts()) {
        return Err(Error::NoParts { split: split.clone() });
    }
    let model = args.model.read()?;
    let config = extractor_config(&model, args.batch_size, args.threads, images.len())?;
    let mut classifier = Classifier::new(&model, &config)?;
    let class_names = model.class_names().to_vec();
    let (count, image) = (images.len(), model.recipe().image);
    let (network, heads) = (&model.recipe().network, model.heads().len());
    say(format!(
        "{} at {}x{} px, {network}, {}, {}",
        counted(count, "image"),
        image.height,
        image.width,
        counted(class_names.len(), "class"),
        counted(heads, "head"),
    ));
    // The classifier has the weights in a form of its own.
    drop(model);
    let columns = Columns { class_names: &class_names, top: args.top.unwrap_or(TOP) };
    let heat_maps = match &args.heatmap {
        Some(folder) => {
            classifier.heat_map_tap()?;
            Some(HeatMaps::begin(folder, images.len())?)
        }
        None => None,
    };
    let mut output = output::start(args.format, &columns, &images, args.out.as_deref())?;
    let mut tally = Tally::new(&class_names);
    let draws = heat_maps.is_some();
    // Results on standard output show the progress themselves.
    let mut progress =
        args.out.is_some().then(|| Progress::new("images", "images", count as u64, 0));
    let mut done = 0;
    classify_all(&mut classifier, &images, config.threads, draws, stop, |batch| {
        if let Some(heat_maps) = &heat_maps {
            for Classified { index, heat_map, .. } in &batch {
                if let Some(png) = heat_map {
                    heat_maps.write(*index, &images.name(*index), png)?;
                }
            }
        }
        done += batch.len() as u64;
        if let Some(progress) = &mut progress {
            progress.update(done, "");
        }
        let outcomes: Vec<Outcome<'_>> =
            batch.into_iter().filter_map(|it| tally.count(&images, it)).collect();
        output.write(&outcomes)
    })?;
    if let Some(progress) = progress {
        progress.finish(done, "");
    }
    output.finish()?;
    tally.end(images.len())
}

/// Counts of images, and of those that were classified rightly.
struct Tally<'a> {
    classes: HashMap<&'a str, usize>,
    failed: usize,
    labelled: usize,
    right: usize,
    /// Images whose label is not one of the classes.
    unknown: usize,
}

impl<'a> Tally<'a> {
    fn new(class_names: &'a [String]) -> Tally<'a> {
        let classes = class_names.iter().map(String::as_str).zip(0..).collect();
        Tally { classes, failed: 0, labelled: 0, right: 0, unknown: 0 }
    }

    /// Counts an image. `None` if it could not be classified, which is said.
    fn count<'i>(&mut self, images: &'i Images, result: Classified) -> Option<Outcome<'i>> {
        let Classified { index, scores, .. } = result;
        let scores = match scores {
            Ok(scores) => scores,
            Err(fault) => {
                self.failed += 1;
                let (name, reason) = (images.name(index), with_causes(&fault));
                // Most faults name their file themselves, which is to be read once.
                match reason.strip_prefix(&name) {
                    Some(_) => say(format!("not classified: {reason}")),
                    None => {
                        let reason = reason.replacen(&format!(" {name}"), "", 1);
                        say(format!("not classified: {name}: {reason}"));
                    }
                }
                return None;
            }
        };
        let label = images.label(index);
        match label.map(|label| self.classes.get(label)) {
            None => {}
            Some(None) => self.unknown += 1,
            Some(Some(&class)) => {
                self.labelled += 1;
                self.right += usize::from(scores.class() == class);
            }
        }
        Some(Outcome { name: images.name(index), label, scores })
    }

    fn end(self, images: usize) -> Result<(), Error> {
        let Tally { failed, labelled, right, unknown, .. } = self;
        if labelled > 0 {
            let percent = 100.0 * right as f64 / labelled as f64;
            say(format!("top-1 {percent:.2} %: {right} right of {labelled} with a label"));
        }
        if unknown > 0 {
            say(format!("labels that are not among the model's classes: {unknown}"));
        }
        if failed > 0 { Err(Error::Unreadable { failed, images }) } else { Ok(()) }
    }
}
