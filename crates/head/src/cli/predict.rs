//! `vgg-head predict`.

use std::path::PathBuf;

use feature_cache::{Cache, SplitName};
use head::{Ensemble, Error, Sample, submission};
use plural::counted;
use terminal::say;

use super::cores;
use super::events::Teller;

/// Writes the predictions for a split as a submission, in the form of the sample if there is one.
pub(super) fn write(
    ensemble: &Ensemble,
    cache: &Cache,
    split: SplitName,
    sample: Option<PathBuf>,
    out: PathBuf,
) -> Result<PathBuf, Error> {
    let dataset = &cache.manifest().inputs.dataset;
    let found = || match split {
        SplitName::Test => Sample::of_dataset(dataset.path.as_ref()),
        _ => None,
    };
    let sample = sample.or_else(found).filter(|path| path.as_os_str() != "none");
    let sample = sample.map(|path| Sample::read(&path)).transpose()?;
    let mut teller = Teller::new();
    if let Some(sample) = &sample {
        let mut rows = Vec::new();
        ensemble.for_each_row(cache, split, cores(), &mut teller.listener(), |id, logits| {
            rows.push((id.to_owned(), logits.to_vec()));
        })?;
        durable::replace(&out, &sample.submission(&cache.manifest().class_names, &rows)?)?;
        let (of, path) = (counted(rows.len(), "image"), sample.path().display());
        say(format!("{} of {of}, in the form of {path}", counted(sample.len(), "prediction")));
    } else {
        let predictions = ensemble.predict(cache, split, cores(), &mut teller.listener())?;
        let csv =
            submission(&predictions).map_err(|source| Error::Csv { path: out.clone(), source })?;
        durable::replace(&out, &csv)?;
        let has_paths = predictions.iter().any(|prediction| prediction.id.parse::<u64>().is_err());
        let ids = if has_paths {
            "; the ids are the images' paths within the dataset (a competition's are written with --sample)"
        } else {
            ""
        };
        say(format!("{}{ids}", counted(predictions.len(), "prediction")));
    }
    if let Some(limit) = dataset.limit {
        say(format!(
            "the features were extracted with --limit {limit}: {split} may be a part of the images"
        ));
    }
    Ok(out)
}
