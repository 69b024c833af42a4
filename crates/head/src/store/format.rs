//! The version of the files of runs and sweeps.

use durable::Format;

/// The version of the files of runs and sweeps.
///
/// - 1.0: files have no version. Configurations have `threads`, on which heads do not depend, and no `numerics`;
///   summaries have a spread of 0 for a single seed.
/// - 1.1: `format`, `numerics`; the spread of a single seed is null.
/// - 1.2: `streamed_window`.
/// - 1.3: a sweep's `evaluation.json`.
/// - 1.4: `recipe` and `taps` of the features. Ids are digests of an encoding that depends on no JSON
///   printer, and so differ from those of 1.3.
/// - 1.5: `class_names`, with which a run can be used without its features.
/// - 1.6: the architecture `fastai-da`; the schedules `onecycle` and `steps:…`, and the `schedule` of each
///   setting of a sweep; `weight_decay`, `label_smoothing`, `class_weights`,
///   `keep`, `patience`; `kept` in summaries, and `kept_epoch`. Options at their defaults are not recorded, so that ids stay the same.
/// - 1.7: heads of other forms than two equal hidden layers: `hidden` is then a list, of the `shape` with each
///   layer's `width`, `activation` and `batch_norm`; the architecture `linear`; `dropout`, `batch_norm`,
///   `activation`; `form` of each setting of a sweep. Two equal layers with ReLU and BatchNorm are still
///   their width. A run's `calibration.json`; the `ensemble` of a sweep's summary; `corrections` of labels, and the
///   `fold` on which a head was not trained. None of these is recorded where it says nothing, so that ids stay the same.
/// - 1.8: `views_per_epoch`; the `teacher` towards whose probabilities heads were trained;
///   `mixup`, which is recorded if it is not 0; the architecture `lesson7`, whose `shape` has an `input_norm`: the
///   positions of each channel over which the inputs are normalised, with the tensors `bn0.weight` and so on.
pub(crate) const FORMAT: Format = Format { major: 1, minor: 8 };
