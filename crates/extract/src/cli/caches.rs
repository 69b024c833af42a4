//! `verify`, `inspect` and `status`: facts about caches.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dataset::FileDigests;
use extract::Error;
use feature_cache::{Cache, Verification, unfinished};
use plural::counted;
use recipe::Views;
use terminal::{HumanBytes, Progress, Table, print, println, say};

use super::size::{age_of, size_of};

pub(super) fn verify(folder: &Path) -> Result<(), Error> {
    const MIB: u64 = 1 << 20;
    let progress: Mutex<Option<Progress>> = Mutex::new(None);
    let Verification { files, bytes } = Cache::verify(folder, |done, total| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        let progress =
            progress.get_or_insert_with(|| Progress::new("verify", "MiB", total / MIB, 0));
        progress.update(done / MIB, "");
    })?;
    if let Some(progress) = progress.into_inner().unwrap_or_else(PoisonError::into_inner) {
        progress.finish(bytes / MIB, "");
    }
    println!(
        "{}: {}, {}, every digest as recorded",
        folder.display(),
        counted(files, "file"),
        HumanBytes(bytes),
    );
    Ok(())
}

pub(super) fn inspect(cache: &Cache, json: bool) -> Result<(), Error> {
    let manifest = cache.manifest();
    if json {
        println!("{:#}", cache.manifest_json()?);
        return Ok(());
    }
    let (dataset, recipe) = (&manifest.inputs.dataset, &manifest.inputs.recipe);
    let (weights, image) = (&recipe.weights, &recipe.image);
    println!("{}", cache.folder().display());
    println!("dataset   {} ({})", dataset.name, dataset.path);
    println!("weights   {} {}", weights.family, weights.digest);
    println!("network   {}, {}", recipe.network, recipe.numerics);
    println!("images    {}x{} px, {}, {}", image.height, image.width, image.fit, image.resize);
    if let Some(Views { count, seed, augmentation }) = &manifest.inputs.views {
        println!("views     {count}, {augmentation}, seed {seed}");
    }
    for tap in cache.taps() {
        let sides: Vec<String> = cache.shape(tap)?.iter().map(usize::to_string).collect();
        println!("features  {tap} {} {}", sides.join("x"), recipe.dtype);
    }
    println!("layout    {}", cache.layout());
    println!("size      {}", HumanBytes(cache.bytes()));
    let skipped = manifest.skipped_images().len();
    if skipped > 0 {
        println!("skipped   {} (skipped.csv)", counted(skipped, "image"));
    }
    println!("classes   {}\n", manifest.class_names.join(", "));
    let mut table = Table::new(["split", "rows", "labels"]);
    for (name, split) in &manifest.splits {
        let labels = if split.labels.is_some() { "yes" } else { "no" };
        table.row([name.to_string(), split.rows.to_string(), labels.to_string()]);
    }
    print!("{table}");
    Ok(())
}

pub(super) fn status(out: &Path) -> Result<(), Error> {
    let mut table = Table::new(["cache", "rows", "done", "size", "age"]);
    for folder in durable::folders(out)? {
        if folder.ends_with(FileDigests::FOLDER) {
            continue;
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let size = HumanBytes(size_of(&folder)?).to_string();
        let age = age_of(&folder);
        match Cache::open(&folder) {
            Ok(cache) => {
                let rows: usize = cache.manifest().splits.values().map(|split| split.rows).sum();
                table.row([name, rows.to_string(), "complete".to_owned(), size, age]);
            }
            Err(feature_cache::Error::NoManifest { .. }) => {
                let found = unfinished(&folder);
                let rows = match found.rows_total {
                    0 => "?".to_owned(),
                    total => total.to_string(),
                };
                table.row([name, rows, format!("{} %", found.percent()), size, age]);
            }
            Err(error) => {
                say(format!("{name}: {error}"));
                table.row([name, "?".to_owned(), "damaged".to_owned(), size, age]);
            }
        }
    }
    print!("{table}");
    Ok(())
}
