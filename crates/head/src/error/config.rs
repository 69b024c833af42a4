use feature_cache::SplitName;
use fused_head::HeadShape;
use plural::counted;
use recipe::Tap;

use crate::config::Arch;
use crate::form::Fractions;
use crate::form::Widths;
use crate::resources::Memory;

/// Settings that contradict each other, or that the features or the memory cannot meet.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A tap is given twice.
    #[error("--tap: {tap} is given twice; name each tap once")]
    TapTwice {
        /// The tap.
        tap: Tap,
    },
    /// A learning rate is given beside a schedule that has rates.
    #[error("--schedule={schedule} has the learning rates; leave --lr out")]
    LearningRateTwice {
        /// The schedule, or several.
        schedule: String,
    },
    /// An option of a baseline that is not asked for.
    #[error(
        "{flag} is for the baseline {baseline}; leave it out, or add {baseline} to --baselines"
    )]
    NoSuchBaseline {
        /// The flag.
        flag: &'static str,
        /// The baseline.
        baseline: &'static str,
    },
    /// A linear head has no layers that could have another form.
    #[error(
        "--arch=linear has no hidden layers; leave --hidden, --activation and --batch-norm out, or take another \
         --arch"
    )]
    LinearHasNoLayers,
    /// Channels of several taps are normalised together only if they have as many positions.
    #[error(
        "--arch={arch} normalises channels that have equally many positions, but the taps {} differ in them; name one \
         tap by --tap, or taps that are pooled to a number per channel",
        taps.join(" and ")
    )]
    PositionsDiffer {
        /// The architecture.
        arch: Arch,
        /// The taps.
        taps: Vec<String>,
    },
    /// Rows that are mixed have two labels each, and no probabilities of a teacher.
    #[error(
        "--mixup={mixup} mixes labels, and with --pseudo or --teacher rows have probabilities instead; leave one of them \
         out"
    )]
    MixupWithTeacher {
        /// The α of mixup.
        mixup: f64,
    },
    /// Every dense layer needs a fraction.
    #[error(
        "--dropout={dropout} is for {}, but a head with the hidden layers {hidden} has {}; give a fraction for \
         each, the last before the classes",
        counted(dropout.as_slice().len(), "dense layer"), hidden.dense_layers()
    )]
    DropoutCount {
        /// The fractions given.
        dropout: Box<Fractions>,
        /// The hidden layers.
        hidden: Box<Widths>,
    },
    /// The learning rates to be tested do not grow.
    #[error("--from={from} and --to={to}: expected a learning rate and a larger one")]
    RateRange {
        /// The first.
        from: f64,
        /// The last.
        to: f64,
    },
    /// A temperature is asked for where the result is not one head.
    #[error(
        "--calibrate: the result of cross-validation is measures and probabilities of the heads of all folds, not one \
         head; leave it out, and calibrate the head that is trained on all images, with 'vgg-head train --calibrate'"
    )]
    NothingToCalibrate,
    /// A batch of one row has no room for a pseudo-labelled one.
    #[error(
        "--batch-size=1 has no room for pseudo-labelled images beside others; expected 2 or more"
    )]
    NoRoomInBatch,
    /// The rows of a split cannot be pseudo-labelled.
    #[error(
        "--pseudo-split={split}: heads are {} its images already; expected test",
        if *split == SplitName::Val { "validated on" } else { "trained on" }
    )]
    PseudoSplit {
        /// The split.
        split: SplitName,
    },
    /// The heads that are to be trained in one pass do not fit into memory.
    #[error(
        "{} of {}, {} and {} to be trained in one pass, but {memory} has room for {fit}; allow more memory, \
         take a smaller --hidden, or train fewer heads at once",
        counted(*heads, "head"), counted(shape.inputs, "input"), hidden_units(shape),
        counted(shape.classes, "class")
    )]
    TooManyHeads {
        /// Heads of one pass.
        heads: usize,
        /// Their form and sizes.
        shape: Box<HeadShape>,
        /// The memory allowed.
        memory: Memory,
        /// Heads that fit.
        fit: usize,
    },
    /// The rows that streaming keeps in memory do not fit beside the heads.
    #[error(
        "{memory} has no room for {} of features beside the heads that are trained in one \
         pass, and streaming needs that many; allow more memory, --memory={needed}, or take a \
         smaller --hidden or --batch-size",
        counted(*rows, "row")
    )]
    NoRoomForRows {
        /// The memory allowed.
        memory: Memory,
        /// Rows that have to fit.
        rows: usize,
        /// Bytes of these rows and the heads.
        needed: u64,
    },
}

/// The width of the hidden layers, or all their widths.
fn hidden_units(shape: &HeadShape) -> String {
    let widths: Vec<usize> = shape.hidden.iter().map(|layer| layer.width).collect();
    match widths[..] {
        [] => "no hidden units".to_owned(),
        [first, ref others @ ..] if others.iter().all(|&width| width == first) => {
            counted(first, "hidden unit")
        }
        _ => {
            let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
            format!("{} hidden units", widths.join("/"))
        }
    }
}
