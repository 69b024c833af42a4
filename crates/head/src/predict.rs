//! A trained head's predictions, and Kaggle's form of them.

use feature_cache::{Cache, SplitName};
use tch::Kind;

use crate::evaluate::check_features;
use crate::inference::for_each_batch;
use crate::model::most_probable;
use crate::pooled::PooledSplit;
use crate::{Error, Run};

/// The prediction for one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The sample's id.
    pub id: String,
    /// The most probable class, an index into the class names.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// Its probability.
    pub probability: f64,
}

/// Predicts every row of a split of the features that the run's head was trained on, row order.
///
/// # Errors
/// If the cache is another, the split is not there, or the head is damaged.
pub fn predict(run: &Run, cache: &Cache, split: SplitName) -> Result<Vec<Prediction>, Error> {
    check_features(run, cache)?;
    let head = run.head()?;
    let ids = cache.split(split)?.ids()?;
    let mut ids = ids.iter();
    let mut features = PooledSplit::open(cache, split)?;
    let class_names = &cache.manifest().class_names;
    let mut predictions = Vec::with_capacity(features.rows());
    for_each_batch(&mut features, &head, |_, logits| {
        let classes = Vec::<i64>::try_from(most_probable(logits)?)?;
        let probabilities = logits.f_softmax(-1, Kind::Double)?.f_amax(-1, false)?;
        let probabilities = Vec::<f64>::try_from(probabilities)?;
        for ((class, probability), id) in classes.into_iter().zip(probabilities).zip(&mut ids) {
            let class = class as usize;
            let name = class_names[class].clone();
            predictions.push(Prediction { id: id.to_owned(), class, name, probability });
        }
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
    for Prediction { id, name, .. } in predictions {
        let image = id.parse().map_or_else(|_| id.clone(), |row: u64| (row + 1).to_string());
        csv.write_record([image.as_str(), name])?;
    }
    csv.into_inner().map_err(|error| error.into_error().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_counts_images_from_one() {
        let prediction = |id: &str, name: &str| Prediction {
            id: id.into(),
            class: 0,
            name: name.into(),
            probability: 1.0,
        };
        let csv = submission(&[prediction("0", "7"), prediction("a,b.png", "cat")]).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "ImageId,Label\n1,7\n\"a,b.png\",cat\n");
    }
}
