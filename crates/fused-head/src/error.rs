//! The errors of training and inference. Everything is checked before any work starts, so the kernels never see
//! a wrong length.

use crate::{mixup::LARGEST_ALPHA, shape::MAX_HIDDEN};

/// A trainer that could not be made, or a call that was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Sizes, the batch size and the number of threads must be at least 1.
    #[error("{field} must be at least 1")]
    Zero {
        /// Name of the number.
        field: &'static str,
    },
    /// There must be at least one head.
    #[error("no head is given, expected at least one")]
    NoHeads,
    /// Every head needs its initial parameters.
    #[error("sets of initial parameters given: {initial}; expected {heads}, one for each head")]
    InitialCount {
        /// Heads configured.
        heads: usize,
        /// Sets of parameters given.
        initial: usize,
    },
    /// All heads have the same shape.
    #[error("the parameters of head {head} have another shape than the others")]
    OtherShape {
        /// Index of the head, from 0.
        head: usize,
    },
    /// A fraction dropped is at least 0 and less than 1.
    #[error("head {head} has dropout {fraction} at layer {layer}, expected 0 <= p < 1")]
    Dropout {
        /// Index of the head, from 0.
        head: usize,
        /// Index of the dense layer after it, from 0.
        layer: usize,
        /// The fraction.
        fraction: f32,
    },
    /// Every dense layer needs a fraction, or none has one.
    #[error(
        "head {head} has {fractions} fractions of dropout, expected {layers}, one for each dense layer, or none"
    )]
    DropoutCount {
        /// Index of the head, from 0.
        head: usize,
        /// Fractions given.
        fractions: usize,
        /// The head's dense layers.
        layers: usize,
    },
    /// Channels that are normalised are whole.
    #[error("{inputs} inputs are not channels of {positions} positions each")]
    Positions {
        /// The head's inputs.
        inputs: usize,
        /// Positions of a channel.
        positions: usize,
    },
    /// A head has few hidden layers.
    #[error("there are {layers} hidden layers, expected at most {MAX_HIDDEN}")]
    HiddenLayers {
        /// Hidden layers given.
        layers: usize,
    },
    /// A weight decay is a number of at least 0.
    #[error("head {head} has the weight decay {weight_decay}, expected a number of at least 0")]
    WeightDecay {
        /// Index of the head, from 0.
        head: usize,
        /// The weight decay.
        weight_decay: f64,
    },
    /// A label smoothing is at least 0 and less than 1.
    #[error("head {head} has the label smoothing {label_smoothing}, expected 0 <= E < 1")]
    LabelSmoothing {
        /// Index of the head, from 0.
        head: usize,
        /// The label smoothing.
        label_smoothing: f64,
    },
    /// The α of mixup is a number from 0 to 1000.
    #[error("head {head} has the mixup {mixup}, expected a number from 0 to {LARGEST_ALPHA}")]
    Mixup {
        /// Index of the head, from 0.
        head: usize,
        /// The α.
        mixup: f64,
    },
    /// Every class needs a weight, or none has one.
    #[error(
        "head {head} has {weights} class weights, expected {classes}, one for each class, or none"
    )]
    ClassWeightCount {
        /// Index of the head, from 0.
        head: usize,
        /// Weights given.
        weights: usize,
        /// The head's classes.
        classes: usize,
    },
    /// A weight of a class is a number of at least 0.
    #[error(
        "head {head} has the weight {weight} for class {class}, expected a number of at least 0"
    )]
    ClassWeight {
        /// Index of the head, from 0.
        head: usize,
        /// The class.
        class: usize,
        /// The weight.
        weight: f32,
    },
    /// Rows, and their elements within a block of inputs, are numbered in 32 bits.
    #[error("the batch size {batch_size} is too large, expected at most {limit}")]
    BatchSize {
        /// The batch size configured.
        batch_size: usize,
        /// The largest possible.
        limit: usize,
    },
    /// A step has between 1 and the configured number of rows.
    #[error("rows of the step: {rows}; expected 1 to {batch_size}")]
    Rows {
        /// Rows given.
        rows: usize,
        /// The largest batch, from the configuration.
        batch_size: usize,
    },
    /// A call has at least one row.
    #[error("no rows are given to evaluate, expected at least one")]
    NoRows,
    /// A row does not have the head's number of inputs.
    #[error("values of row {row}: {actual}; expected {expected}")]
    RowLength {
        /// Position of the row in the call.
        row: usize,
        /// The head's inputs.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
    /// A sparse row needs a value for each column.
    #[error("values of row {row}: {values}; expected {columns}, one for each column")]
    SparseLength {
        /// Position of the row in the call.
        row: usize,
        /// Columns given.
        columns: usize,
        /// Values given.
        values: usize,
    },
    /// The columns of a sparse row ascend.
    #[error("row {row} has column {column} after column {before}, but columns must ascend")]
    ColumnOrder {
        /// Position of the row in the call.
        row: usize,
        /// The column.
        column: u32,
        /// The one before it.
        before: u32,
    },
    /// A column is not one of the inputs.
    #[error("row {row} has column {column}, expected 0 to {}", .inputs - 1)]
    Column {
        /// Position of the row in the call.
        row: usize,
        /// The column.
        column: u32,
        /// The head's inputs.
        inputs: usize,
    },
    /// Every row needs a label.
    #[error("labels given: {labels}; expected {rows}, one for each row")]
    LabelCount {
        /// Rows given.
        rows: usize,
        /// Labels given.
        labels: usize,
    },
    /// A label is not the number of a class.
    #[error("row {row} has label {label}, expected 0 to {}", .classes - 1)]
    Label {
        /// Position of the row in the call.
        row: usize,
        /// Its label.
        label: i64,
        /// The head's classes.
        classes: usize,
    },
    /// Rows that are mixed have two labels, and no soft targets.
    #[error("head {head} has mixup, with which its rows can have no soft targets")]
    MixedSoftTargets {
        /// Index of the head, from 0.
        head: usize,
    },
    /// Every row needs its soft targets.
    #[error("{field} of the soft targets: {found}; expected {expected}")]
    SoftTargetCount {
        /// Name of the numbers.
        field: &'static str,
        /// As many as the rows need.
        expected: usize,
        /// Numbers given.
        found: usize,
    },
    /// A temperature is a number above 0.
    #[error("the soft targets have the temperature {temperature}, expected a number above 0")]
    Temperature {
        /// The temperature.
        temperature: f32,
    },
    /// A share of the loss is at least 0 and at most 1.
    #[error("the soft target of row {row} has the share {share}, expected 0 to 1")]
    SoftShare {
        /// Position of the row in the call.
        row: usize,
        /// Its share.
        share: f32,
    },
    /// Probabilities are at least 0 and sum to 1.
    #[error("the soft target of row {row} sums to {sum}, expected probabilities, which sum to 1")]
    SoftProbabilities {
        /// Position of the row in the call.
        row: usize,
        /// Sum of its probabilities.
        sum: f32,
    },
    /// A class is one of the head's.
    #[error("there is no class {class}, expected 0 to {}", .classes - 1)]
    Class {
        /// The class given.
        class: usize,
        /// The head's classes.
        classes: usize,
    },
    /// Every head needs a learning rate.
    #[error("learning rates given: {rates}; expected {heads}, one for each head")]
    LearningRateCount {
        /// Heads in training.
        heads: usize,
        /// Rates given.
        rates: usize,
    },
}
