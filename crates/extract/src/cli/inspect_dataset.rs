//! `inspect-dataset`: what a dataset holds, and what would stop an extraction.

use std::collections::BTreeMap;

use extract::{Error, InspectConfig, InspectedSplit, Inspection, inspect_dataset};
use plural::counted;
use terminal::{JsonPath, Progress, Table, plain, print, println};

use super::InspectDatasetArgs;

/// Largest number of classes, sizes and problems that the table lists; JSON has all.
const LISTED: usize = 20;

pub(super) fn run(args: &InspectDatasetArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    let source = args.source.config()?;
    let config = InspectConfig {
        dataset: args.path(),
        source: &source,
        val_fraction: args.split.val_fraction,
        test_fraction: args.split.test_fraction,
        dedupe: args.split.dedupe,
        allow_single_images: args.split.allow_single_images,
        seed: args.seed,
        out: &args.out,
    };
    let mut shown: Option<Progress> = None;
    let mut report = |done: usize, total: usize| {
        let progress =
            shown.get_or_insert_with(|| Progress::new("decode", "images", total as u64, 0));
        progress.update(done as u64, "");
        if done == total
            && let Some(progress) = shown.take()
        {
            progress.finish(done as u64, "");
        }
    };
    let inspection = inspect_dataset(&config, &mut report, stop)?;
    if args.json {
        print_json(args, &inspection);
    } else {
        print_text(args, &inspection);
    }
    match inspection.stops.len() {
        0 => Ok(()),
        count => Err(Error::DatasetStops { path: args.path().to_path_buf(), count }),
    }
}

fn print_json(args: &InspectDatasetArgs, inspection: &Inspection) {
    let splits = inspection.splits.iter().map(|split| {
        let sizes: Vec<_> = split
            .sizes
            .iter()
            .map(|((height, width), images)| {
                serde_json::json!({ "height": height, "width": width, "images": images })
            })
            .collect();
        let modes: BTreeMap<String, usize> =
            split.modes.iter().map(|(mode, images)| (mode.to_string(), *images)).collect();
        let json = serde_json::json!({
            "images": split.images,
            "images_per_class": split.per_class,
            "sizes": sizes,
            "modes": modes,
            "unreadable": split.unreadable,
        });
        (split.name.to_string(), json)
    });
    let splits: serde_json::Map<String, serde_json::Value> = splits.collect();
    let json = serde_json::json!({
        "dataset": JsonPath(args.path()),
        "name": inspection.name,
        "form": inspection.form,
        "class_names": inspection.class_names,
        "splits": splits,
        "notices": inspection.notices,
        "stops": inspection.stops,
    });
    println!("{json:#}");
}

fn print_text(args: &InspectDatasetArgs, inspection: &Inspection) {
    println!("{}", args.path().display());
    println!("form     {}", inspection.form);
    if inspection.splits.is_empty() {
        println!("No images were looked at: the dataset cannot be read as it is.");
    } else {
        println!("classes  {}\n", inspection.class_names.len());
    }
    let header = ["split", "images", "unreadable", "height", "width", "sizes", "modes"];
    let mut table = Table::new(header);
    for split in &inspection.splits {
        let [height, width] = [0, 1].map(|side| range(split, side));
        table.row([
            split.name.to_string(),
            split.images.to_string(),
            split.unreadable.to_string(),
            height,
            width,
            split.sizes.len().to_string(),
            modes(split),
        ]);
    }
    if !inspection.splits.is_empty() {
        print!("{table}");
    }
    let names = inspection.splits.iter().map(|split| split.name.to_string());
    let mut table = Table::new(std::iter::once("class".to_owned()).chain(names));
    for (class, name) in inspection.class_names.iter().enumerate().take(LISTED) {
        let counts = inspection.splits.iter().map(|split| match &split.per_class {
            Some(counts) => counts[class].to_string(),
            None => "-".to_owned(),
        });
        table.row(std::iter::once(plain(name).into_owned()).chain(counts));
    }
    if !inspection.class_names.is_empty() {
        print!("\n{table}");
    }
    if let Some(more) = inspection.class_names.len().checked_sub(LISTED).filter(|more| *more > 0) {
        println!("and {} more (all with --json)", counted(more, "class"));
    }
    print_lines("notices", &inspection.notices);
    print_lines("stops an extraction", &inspection.stops);
}

/// The smallest and the largest height (0) or width (1) of a split's images.
fn range(split: &InspectedSplit, side: usize) -> String {
    let sides = || split.sizes.keys().map(|&(height, width)| [height, width][side]);
    match (sides().min(), sides().max()) {
        (Some(least), Some(most)) if least == most => least.to_string(),
        (Some(least), Some(most)) => format!("{least} to {most}"),
        _ => "-".to_owned(),
    }
}

/// How a split's files store their pixels, the commonest first.
fn modes(split: &InspectedSplit) -> String {
    let mut modes: Vec<_> = split.modes.iter().collect();
    modes.sort_by_key(|(_, images)| std::cmp::Reverse(**images));
    match modes.len() {
        0 => "-".to_owned(),
        1 => modes[0].0.to_string(),
        _ => modes
            .iter()
            .map(|(mode, images)| format!("{images} {mode}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn print_lines(title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    println!("\n{title}:");
    for line in lines.iter().take(LISTED) {
        println!("  {}", plain(line));
    }
    if let Some(more) = lines.len().checked_sub(LISTED).filter(|more| *more > 0) {
        println!("  and {more} more (all with --json)");
    }
}
