//! A run's learning curve as a drawing.

use report::{Curve, learning_curves_svg};

use crate::config::TrainConfig;
use crate::error::Error;
use crate::store::run::Run;

/// Writes a run's learning curve into its folder.
///
/// # Errors
/// If the run has no metrics, or the file cannot be written.
pub fn write_learning_curve(run: &Run) -> Result<(), Error> {
    let TrainConfig { arch, p, .. } = run.config().train;
    let curve = Curve::single(format!("{arch}, p {p}"), run.metrics()?);
    let svg = learning_curves_svg(&[curve]);
    Ok(durable::replace(&run.folder().join("learning-curve.svg"), svg.as_bytes())?)
}
