//! The test split of the runs that are served: the worst mistakes first.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dataset::Split;
use feature_cache::{Cache, SplitName};
use head::{Ensemble, images_of};
use report::encode_png;
use serde::Serialize;
use tokio::sync::OnceCell;

use super::prepare::{SHOWN_SIDE, aside};
use super::refusal::Refusal;

/// The test split, which is read when it is asked for first.
#[derive(Debug)]
pub(super) struct TestSet {
    /// `None` of a model file.
    runs: Option<Ensemble>,
    threads: usize,
    read: OnceCell<Result<Evaluated, String>>,
}

/// The test split with the predictions for its images.
#[derive(Debug)]
pub(super) struct Evaluated {
    images: Split,
    /// Mistakes first, those with the most probable wrong class before others; then what is right, the least
    /// probable first.
    pub(super) rows: Vec<Row>,
    /// Number of mistakes.
    pub(super) mistakes: usize,
}

/// An image of the test split.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) row: usize,
    id: String,
    label: String,
    predicted: String,
    /// The index of the predicted class.
    class: usize,
    /// Its probability.
    probability: f64,
    right: bool,
}

impl TestSet {
    pub(super) fn new(runs: Option<Ensemble>, threads: usize) -> TestSet {
        TestSet { runs, threads, read: OnceCell::new() }
    }

    /// The test split. `Err` with a sentence for people if it cannot be shown.
    pub(super) async fn read(&self) -> Result<&Result<Evaluated, String>, Refusal> {
        let (runs, threads) = (self.runs.clone(), self.threads);
        self.read.get_or_try_init(|| aside(move || evaluate(runs.as_ref(), threads))).await
    }

    /// Does something with the test split on a thread of its own.
    pub(super) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Evaluated) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        if let Err(why) = self.read().await? {
            return Err(Refusal::Missing(why.clone()));
        }
        let this = Arc::clone(self);
        aside(move || match this.read.get() {
            Some(Ok(evaluated)) => work(evaluated),
            _ => unreachable!("it has just been read"),
        })
        .await?
    }
}

impl Evaluated {
    /// The image of a row, decoded as the recipe says.
    pub(super) fn image(&self, row: usize) -> Result<dataset::Image<'_>, Refusal> {
        if row >= self.images.len() {
            let rows = self.images.len();
            return Err(Refusal::Missing(format!("the test split has {rows} images, not {row}")));
        }
        Ok(self.images.image(row)?)
    }

    /// The image of a row as a PNG for the page.
    pub(super) fn png(&self, row: usize) -> Result<Vec<u8>, Refusal> {
        let image = self.image(row)?.fitted(SHOWN_SIDE);
        let png = encode_png(image.height, image.width, image.channels, &image.pixels);
        png.map_err(|error| Refusal::Failed(error.to_string()))
    }
}

/// Evaluates the heads on the features of the test split, and finds the images that these were made from.
fn evaluate(runs: Option<&Ensemble>, threads: usize) -> Result<Evaluated, String> {
    let Some(ensemble) = runs else {
        return Err(
            "A model file does not say which images its heads were tested on. Serve the run or \
                    the sweep instead (--run, --sweep)."
                .to_owned(),
        );
    };
    let folder = &ensemble.runs()[0].config().features;
    let cache = Cache::open(folder)
        .map_err(|error| format!("The features of the run are not there any more: {error}."))?;
    let labels = cache
        .split(SplitName::Test)
        .and_then(|split| split.labels())
        .map_err(|error| format!("The test split cannot be read: {error}."))?
        .ok_or("The test split has no labels.")?;
    let predictions = ensemble
        .predict(&cache, SplitName::Test, threads, &mut |_| ())
        .map_err(|error| format!("The test split cannot be evaluated: {error}."))?;
    let caches = folder.parent().unwrap_or(Path::new(""));
    let images =
        images_of(&cache.manifest().into(), SplitName::Test, caches, &AtomicBool::new(false))
            .map(|images| images.decoded(cache.manifest().inputs.recipe.image.into()))
            .map_err(|error| format!("The images of the test split are not shown: {error}."))?;
    if images.len() != predictions.len() {
        return Err(
            "The images of the test split are not shown: there are other rows than in the \
                    features."
                .to_owned(),
        );
    }
    let class_names = &cache.manifest().class_names;
    let mut rows: Vec<Row> = predictions
        .into_iter()
        .zip(&labels)
        .enumerate()
        .map(|(row, (prediction, &label))| Row {
            row,
            id: prediction.id,
            label: class_names[label as usize].clone(),
            predicted: prediction.name,
            class: prediction.class,
            probability: prediction.probability,
            right: prediction.class == label as usize,
        })
        .collect();
    rows.sort_by(|a, b| {
        let by_probability = match a.right {
            true => a.probability.total_cmp(&b.probability),
            false => b.probability.total_cmp(&a.probability),
        };
        a.right.cmp(&b.right).then(by_probability)
    });
    let mistakes = rows.iter().filter(|row| !row.right).count();
    Ok(Evaluated { images, rows, mistakes })
}
