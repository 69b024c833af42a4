//! From an error to an exit code.

use head::{BaselineError, EnsembleError, Error};
use terminal::Failure;

/// The kind of failure, from which the exit code follows.
pub(crate) fn failure(error: &Error) -> Failure {
    match error {
        Error::Interruption(_) => Failure::Interrupted,
        Error::Config(_)
        | Error::Fold(_)
        | Error::Baseline(
            BaselineError::TooManyNeighbours { .. }
            | BaselineError::RidgeMemory { .. }
            | BaselineError::RidgeSingular { .. },
        )
        | Error::Ensemble(EnsembleError::RunTwice { .. }) => Failure::Usage,
        Error::File(error) if error.is_wrong_path() => Failure::BadInput,
        Error::File(_)
        | Error::Csv { .. }
        | Error::Kernels(_)
        | Error::NoThread { .. }
        | Error::Diverged { .. }
        | Error::RateTestDiverged { .. }
        | Error::EverySettingDiverged => Failure::Internal,
        Error::Cache(error) if !error.is_bad_input() => Failure::Internal,
        Error::Cache(_)
        | Error::Dataset(_)
        | Error::Features(_)
        | Error::Folder(_)
        | Error::Table(_)
        | Error::Baseline(BaselineError::RidgeTooLarge { .. })
        | Error::Ensemble(
            EnsembleError::OtherClasses { .. }
            | EnsembleError::OtherFeatures { .. }
            | EnsembleError::TeacherFeatures { .. },
        ) => Failure::BadInput,
    }
}
