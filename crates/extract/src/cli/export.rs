//! `export-features`: the features of a cache as one file for other tools.

use std::path::{Path, PathBuf};

use extract::{Error, ExportFormat, export_features};
use plural::counted;
use terminal::{Progress, print_path, say};

use super::ExportArgs;

/// The format unless another one is asked for.
const DEFAULT: ExportFormat = ExportFormat::Npz;

pub(super) fn run(args: &ExportArgs) -> Result<(), Error> {
    let stop = terminal::catch_interrupts();
    let cache = args.cache.open()?;
    let format = args.format.or_else(|| by_ending(args.to.as_deref()?)).unwrap_or(DEFAULT);
    let out = args.to.clone().unwrap_or_else(|| default_path(&cache, format));
    let rows: usize = cache.manifest().splits.values().map(|split| split.rows).sum();
    let pool = args.pool;
    say(format!("{}: {} as {format}, {pool}", out.display(), counted(rows, "row")));
    let mut progress = Progress::new("export", "rows", rows as u64, 0);
    let mut show = |exported: extract::Exported| progress.update(exported.rows_done as u64, "");
    export_features(&cache, format, pool, &out, &mut show, stop)?;
    progress.finish(rows as u64, "");
    print_path(&out);
    Ok(())
}

/// The format whose files end like this path; `None` if there is none.
fn by_ending(path: &Path) -> Option<ExportFormat> {
    path.extension()?.to_str()?.to_lowercase().parse().ok()
}

/// A file beside the cache's folder, with its name.
fn default_path(cache: &feature_cache::Cache, format: ExportFormat) -> PathBuf {
    let folder = cache.folder();
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{format}"));
    folder.with_file_name(name)
}
