//! A trained head's predictions, and Kaggle's form of them.

use feature_cache::{Cache, SplitName};

use crate::evaluate::check_features;
use crate::model::most_probable;
use crate::pooled::PooledSplit;
use crate::train::for_each_batch;
use crate::{Error, Run};

/// The prediction for one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// The sample's id.
    pub id: String,
    /// Name of the most probable class.
    pub class: String,
}

/// Predicts every row of a split of the features that the run's head was trained on, row order.
///
/// # Errors
/// If the cache is another, the split is not there, or the head is damaged.
pub fn predict(run: &Run, cache: &Cache, split: SplitName) -> Result<Vec<Prediction>, Error> {
    check_features(run, cache)?;
    let head = run.head()?;
    let mut ids = cache.split(split)?.ids()?.into_iter();
    let features = PooledSplit::open(cache, split)?;
    let class_names = &cache.manifest().class_names;
    let mut predictions = Vec::with_capacity(features.rows());
    for_each_batch(&features, &head, |_, logits| {
        let classes = Vec::<i64>::try_from(most_probable(logits)?)?;
        predictions.extend(
            classes
                .into_iter()
                .zip(&mut ids)
                .map(|(class, id)| Prediction { id, class: class_names[class as usize].clone() }),
        );
        Ok(())
    })?;
    Ok(predictions)
}

/// The predictions as a Kaggle submission, `ImageId,Label`: images are numbered from 1 in the order
/// of the test file, of which an id that is a number counts from 0; other ids stand as they are.
///
/// # Errors
/// If the CSV writer fails, which it does not in memory.
pub fn submission(predictions: &[Prediction]) -> Result<Vec<u8>, csv::Error> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["ImageId", "Label"])?;
    for Prediction { id, class } in predictions {
        let image = id.parse().map_or_else(|_| id.clone(), |row: u64| (row + 1).to_string());
        csv.write_record([image.as_str(), class])?;
    }
    csv.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_counts_images_from_one() {
        let prediction = |id: &str, class: &str| Prediction { id: id.into(), class: class.into() };
        let csv = submission(&[prediction("0", "7"), prediction("a,b.png", "cat")]).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "ImageId,Label\n1,7\n\"a,b.png\",cat\n");
    }
}
