//! `convert`: the features of a cache in another layout.

use std::path::{Path, PathBuf};

use extract::{Conversion, ConversionEvent, Error, convert};
use feature_cache::{Cache, Converted};
use plural::counted;
use terminal::{Progress, print_path, say};

use super::ConvertArgs;

pub(super) fn run(args: &ConvertArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    let cache = Cache::open(&args.cache)?;
    let out = args.out.clone().unwrap_or_else(|| beside(&args.cache));
    let mut shown: Option<Progress> = None;
    let mut show = |event: ConversionEvent<'_>| match event {
        ConversionEvent::Started { folder, rows_before, rows_total } => {
            let rows = counted(rows_total, "row");
            say(format!("{}: {rows} as {}", folder.display(), args.layout));
            if rows_before > 0 {
                say(format!("continuing: {rows_before} of {rows} already there"));
            }
        }
        ConversionEvent::Converted(Converted { split, rows_before, rows_done, rows_total }) => {
            let progress = shown.get_or_insert_with(|| {
                Progress::new(&split.to_string(), "rows", rows_total as u64, rows_before as u64)
            });
            progress.update(rows_done as u64, "");
            if rows_done == rows_total
                && let Some(progress) = shown.take()
            {
                progress.finish(rows_done as u64, "");
            }
        }
    };
    let Conversion { cache, was_there } = convert(&cache, args.layout, &out, &mut show, stop)?;
    if was_there {
        say("nothing to do: these features are there in this layout");
    }
    print_path(cache.folder());
    Ok(())
}

/// The folder that a cache lies in.
fn beside(cache: &Path) -> PathBuf {
    let absolute = std::path::absolute(cache).unwrap_or_else(|_| cache.to_path_buf());
    absolute.parent().unwrap_or(&absolute).to_path_buf()
}
