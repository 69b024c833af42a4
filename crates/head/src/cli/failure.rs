//! From an error to an exit code.

use head::Error;
use terminal::Failure;

/// The kind of failure, from which the exit code follows.
pub(crate) fn failure(error: &Error) -> Failure {
    match error {
        Error::InterruptedInFirstEpoch
        | Error::RateTestInterrupted
        | Error::Interrupted { .. }
        | Error::CrossValidationInterrupted { .. }
        | Error::SweepInterrupted { .. } => Failure::Interrupted,
        Error::TapTwice { .. }
        | Error::RunTwice { .. }
        | Error::RateRange { .. }
        | Error::TooManyNeighbours { .. }
        | Error::RidgeMemory { .. }
        | Error::RidgeSingular { .. }
        | Error::LearningRateTwice { .. }
        | Error::LinearHasNoLayers
        | Error::NothingToCalibrate
        | Error::PositionsDiffer { .. }
        | Error::MixupWithTeacher { .. }
        | Error::DropoutCount { .. }
        | Error::PseudoSplit { .. }
        | Error::NoRoomInBatch
        | Error::TooFewForFolds { .. }
        | Error::FoldWithoutClass { .. }
        | Error::TooManyHeads { .. }
        | Error::NoRoomForRows { .. } => Failure::Usage,
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
        | Error::OtherImages { .. }
        | Error::TooSmallToPool { .. }
        | Error::NotFinite { .. }
        | Error::DamagedView { .. }
        | Error::OneClass { .. }
        | Error::NotARun { .. }
        | Error::OtherKind { .. }
        | Error::UnfinishedRun { .. }
        | Error::NotASweep { .. }
        | Error::OtherFormat { .. }
        | Error::NoRuns { .. }
        | Error::NoValidation { .. }
        | Error::NoValidationOfEpochs { .. }
        | Error::NoSweeps { .. }
        | Error::RunSyntax { .. }
        | Error::TableSyntax { .. }
        | Error::TableRows { .. }
        | Error::OtherHeads { .. }
        | Error::DamagedEvaluation { .. }
        | Error::RunOutside { .. }
        | Error::WrongShape { .. }
        | Error::OtherTaps { .. }
        | Error::NoClassNames { .. }
        | Error::DamagedHead { .. }
        | Error::SampleSyntax { .. }
        | Error::SampleColumns { .. }
        | Error::SampleId { .. }
        | Error::ClassWeightFile { .. }
        | Error::NoValidationToCalibrate { .. }
        | Error::NoValidationForBaseline { .. }
        | Error::RidgeTooLarge { .. }
        | Error::DamagedCalibration { .. }
        | Error::EnsembleClasses { .. }
        | Error::EnsembleFeatures { .. }
        | Error::TeacherFeatures { .. }
        | Error::NoPseudoRows { .. }
        | Error::NoViewsToTakeTurns { .. }
        | Error::NoViews { .. }
        | Error::CorrectionsFile { .. }
        | Error::CorrectionsEmpty { .. }
        | Error::GroupsFile { .. }
        | Error::GroupsOfDataset { .. }
        | Error::NotACrossValidation { .. }
        | Error::NoCrossValidations { .. }
        | Error::DamagedOutOfFold { .. }
        | Error::OtherFeatures { .. } => Failure::BadInput,
    }
}
