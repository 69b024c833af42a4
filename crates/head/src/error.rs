//! The errors of training and of using a trained head.

use std::path::PathBuf;

use durable::Format;
use feature_cache::{CacheKey, SplitName};
use fused_head::HeadShape;
use plural::counted;
use recipe::Tap;

use crate::config::Arch;
use crate::form::{Fractions, Widths};
use crate::resources::Memory;
use crate::schedule::Schedule;
use crate::store::format::FORMAT;
use crate::store::kind::Kind;

/// Training, evaluation or prediction that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache cannot be read.
    #[error(transparent)]
    Cache(#[from] feature_cache::Error),
    /// The images of the features' rows cannot be read again.
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
    /// The dataset is not what it was when the features were made.
    #[error(
        "the files in {} are not those that the features were made from, or are read differently now",
        path.display()
    )]
    OtherImages {
        /// The dataset.
        path: PathBuf,
    },
    /// The operating system refused a file operation.
    #[error(transparent)]
    File(#[from] durable::Error),
    /// The features are too small to be pooled.
    #[error(
        "{}: features of {height}x{width} are too small for the head's 2x2 max pool; \
         extract again with --size=32 or more",
        path.display()
    )]
    TooSmallToPool {
        /// The cache.
        path: PathBuf,
        /// Height of the features.
        height: usize,
        /// Width of the features.
        width: usize,
    },
    /// A feature is NaN or infinite.
    #[error(
        "{}: row {row} of the {split} features has the value {value}, expected finite numbers; extract the \
         features again",
        path.display()
    )]
    NotFinite {
        /// The cache.
        path: PathBuf,
        /// The split.
        split: SplitName,
        /// Row within the split.
        row: usize,
        /// The value.
        value: f32,
    },
    /// The columns of a row of the pooled features contradict each other.
    #[error(
        "{} is damaged at row {row}: its columns do not ascend, or are more than there are; give the \
         same command again, which makes the pooled features again",
        path.display()
    )]
    DamagedView {
        /// A file of the pooled features.
        path: PathBuf,
        /// Row within the split.
        row: usize,
    },
    /// All training rows have the same label.
    #[error(
        "the training split of {} has only one class ('{class}'); a head needs two or more",
        path.display()
    )]
    OneClass {
        /// The cache.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// The folder is not a run's.
    #[error(
        "{} is not a run folder: {file} is missing; train one with 'just train-head' ('vgg-head train')",
        path.display()
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// The run was stopped before anything was kept, or killed.
    #[error(
        "the run {} did not end: summary.json is missing; give its 'vgg-head' command again",
        path.display()
    )]
    UnfinishedRun {
        /// The run.
        path: PathBuf,
    },
    /// The folder is not a finished sweep's.
    #[error(
        "{} is not the folder of a finished sweep: {file} is missing; make one with 'just sweep' \
         ('vgg-head sweep'), or give its command again if it was stopped",
        path.display()
    )]
    NotASweep {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// The folder is that of a run, a sweep or a cross-validation, where one of the others is expected.
    #[error("{} is {found}; {}", path.display(), expected.instead_of(path))]
    OtherKind {
        /// The folder.
        path: PathBuf,
        /// What it is.
        found: Kind,
        /// What is expected.
        expected: Kind,
    },
    /// A file of a run or a sweep is of another major version.
    #[error(
        "{} has format {found}, but this version of vgg-head reads {}.x; use the version that wrote \
         it, or train again into another folder, --out=FOLDER",
        path.display(), FORMAT.major
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: Format,
    },
    /// No run has ended under the folder.
    #[error("there is no finished run in {}; train one with 'just train-head' ('vgg-head train')", root.display())]
    NoRuns {
        /// The folder under which runs are made.
        root: PathBuf,
    },
    /// Without a validation split, a sweep cannot choose.
    #[error(
        "{} has no validation split, by which a sweep chooses; extract again with --val-fraction=1/6",
        path.display()
    )]
    NoValidation {
        /// The cache.
        path: PathBuf,
    },
    /// Without a validation split, epochs cannot be compared.
    #[error(
        "{} has no validation split, by which {flag} compares epochs; extract again with --val-fraction=1/6, or \
         leave {flag} out",
        path.display()
    )]
    NoValidationOfEpochs {
        /// The cache.
        path: PathBuf,
        /// The flag that asks for it.
        flag: String,
    },
    /// Without a validation split, heads cannot be calibrated.
    #[error(
        "{} has no validation split, by which --calibrate finds the temperature; extract again with \
         --val-fraction=1/6, or leave --calibrate out",
        path.display()
    )]
    NoValidationToCalibrate {
        /// The cache.
        path: PathBuf,
    },
    /// Without a validation split, a baseline's option cannot be chosen.
    #[error(
        "{} has no validation split, by which {flag} is chosen; extract again with --val-fraction=1/6, or give one \
         value to {flag}, and --test",
        path.display()
    )]
    NoValidationForBaseline {
        /// The cache.
        path: PathBuf,
        /// The flag of the option.
        flag: &'static str,
    },
    /// More neighbours are asked for than there are rows.
    #[error(
        "--k={k}: {} has {} for training; name at most as many neighbours",
        path.display(), counted(*rows, "row")
    )]
    TooManyNeighbours {
        /// The cache.
        path: PathBuf,
        /// The number of neighbours.
        k: usize,
        /// Training rows.
        rows: usize,
    },
    /// There are too many rows and too many numbers in a row for ridge regression in closed form.
    #[error(
        "{} has {} of {width} numbers for training, and ridge regression solves for at most {most} of either; extract \
         with a pooled tap, such as --taps=conv5_3:avg, or with a smaller --size, or train a head ('vgg-head train')",
        path.display(), counted(*rows, "row")
    )]
    RidgeTooLarge {
        /// The cache.
        path: PathBuf,
        /// Training rows.
        rows: usize,
        /// Numbers in a row of pooled features.
        width: usize,
        /// The most of either.
        most: usize,
    },
    /// The matrices of ridge regression do not fit into memory.
    #[error(
        "{}: ridge regression solves {size} equations, whose matrices take {needed} bytes, and {memory} has no room \
         for them; allow more memory, --memory={needed}, or extract with a pooled tap, such as --taps=conv5_3:avg",
        path.display()
    )]
    RidgeMemory {
        /// The cache.
        path: PathBuf,
        /// Number of equations.
        size: usize,
        /// Bytes of the matrices.
        needed: u64,
        /// The memory allowed.
        memory: Memory,
    },
    /// The equations of ridge regression cannot be solved to the precision of double numbers.
    #[error(
        "--alpha={alpha} is too small for these features: the equations have no stable solution; try a larger one"
    )]
    RidgeSingular {
        /// The regularisation.
        alpha: f64,
    },
    /// A run's temperature is not that of its head, or makes no sense.
    #[error(
        "{}: {found}; remove the file, and give --calibrate to 'vgg-head evaluate' to have it made again",
        path.display()
    )]
    DamagedCalibration {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
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
    /// No sweep is finished under the folder.
    #[error("there is no finished sweep in {}; make one with 'just sweep' ('vgg-head sweep')", root.display())]
    NoSweeps {
        /// The folder under which sweeps are made.
        root: PathBuf,
    },
    /// A JSON file of a run or a sweep is not of the expected form.
    #[error("{} is damaged or was not written by vgg-head; train again", path.display())]
    RunSyntax {
        /// The file.
        path: PathBuf,
        /// The position at which parsing failed, and the reason.
        source: serde_json::Error,
    },
    /// A table of a run or a sweep is not of the expected form.
    #[error("{} is damaged or was not written by vgg-head; train again", path.display())]
    TableSyntax {
        /// The file.
        path: PathBuf,
        /// The position at which parsing failed, and the reason.
        source: csv::Error,
    },
    /// A table of a run or a sweep was cut off or added to.
    #[error(
        "{} is damaged: it has {}, expected {expected}; train again",
        path.display(), counted(*found, "row")
    )]
    TableRows {
        /// The file.
        path: PathBuf,
        /// Rows that it must have: one per epoch of a run or per head of a sweep.
        expected: usize,
        /// Rows that it has.
        found: usize,
    },
    /// A sweep's files disagree about its heads.
    #[error(
        "{} does not agree with the heads in config.json; give the same 'vgg-head sweep' command \
         again, or get the sweep again from where it came",
        path.display()
    )]
    OtherHeads {
        /// The file.
        path: PathBuf,
    },
    /// The recorded evaluation of a sweep's best head contradicts itself.
    #[error(
        "{}: {found}; give the same 'vgg-head sweep' command again, or remove the file to have the \
         best head evaluated again",
        path.display()
    )]
    DamagedEvaluation {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
    },
    /// A sweep names a run that is not its own.
    #[error(
        "{} names the run {name:?}, which is not inside the sweep's folder; give the same \
         'vgg-head sweep' command again, or get the sweep again from where it came",
        path.display()
    )]
    RunOutside {
        /// The file.
        path: PathBuf,
        /// The run's folder as it is named there.
        name: String,
    },
    /// The head has other sizes than the features that it says it was trained on.
    #[error(
        "{}: a head of {} and {} does not fit the features {}, which have {found_inputs} and \
         {found_classes}; train again",
        run.display(), counted(*inputs, "input"), counted(*classes, "class"), cache.display()
    )]
    WrongShape {
        /// The run.
        run: PathBuf,
        /// The cache.
        cache: PathBuf,
        /// The head's inputs by its configuration.
        inputs: usize,
        /// The head's classes by its configuration.
        classes: usize,
        /// Numbers in a row of pooled features.
        found_inputs: usize,
        /// Classes of the cache.
        found_classes: usize,
    },
    /// A head takes other taps than it is given.
    #[error(
        "the head takes rows of {expected} numbers, but those of {} have {found}; train again",
        taps.join(", ")
    )]
    OtherTaps {
        /// The taps.
        taps: Vec<String>,
        /// The head's inputs.
        expected: usize,
        /// Numbers in a row of the taps.
        found: usize,
    },
    /// A run does not record the names of its classes, and neither do its features.
    #[error(
        "{}: the version that trained this run did not record the names of its classes; run the same \
         'vgg-head train' again, which adds them and does not train again, as long as its features {} are \
         there",
        run.display(), features.display()
    )]
    NoClassNames {
        /// The run.
        run: PathBuf,
        /// The features that it was trained on.
        features: PathBuf,
    },
    /// A trained head's file is damaged.
    #[error("{}: {found}; train again", path.display())]
    DamagedHead {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
    },
    /// A tap is given twice.
    #[error("--tap: {tap} is given twice; name each tap once")]
    TapTwice {
        /// The tap.
        tap: Tap,
    },
    /// The cache is not the one that the head was trained on.
    #[error(
        "the run {} was trained on the features {expected}, but {} holds {found}; \
         name the right ones with --features=FOLDER",
        run.display(), cache.display()
    )]
    OtherFeatures {
        /// The run.
        run: PathBuf,
        /// The cache.
        cache: PathBuf,
        /// Key of the features that the head was trained on.
        expected: CacheKey,
        /// Key of the cache.
        found: CacheKey,
    },
    /// Runs of an ensemble have other classes.
    #[error(
        "the runs {} and {} have other classes: {found}; an ensemble's runs have the same classes in the same order",
        runs[0].display(), runs[1].display()
    )]
    EnsembleClasses {
        /// Two runs.
        runs: [PathBuf; 2],
        /// The difference.
        found: String,
    },
    /// Runs of an ensemble were trained on other features.
    #[error(
        "the runs {} and {} were trained on other features ({} and {}); an ensemble's runs are those of one cache, \
         and may differ in --tap",
        runs[0].display(), runs[1].display(), keys[0], keys[1]
    )]
    EnsembleFeatures {
        /// Two runs.
        runs: [PathBuf; 2],
        /// The keys of their features.
        keys: Box<[CacheKey; 2]>,
    },
    /// A teacher was trained on other features.
    #[error(
        "{flag}: the run {} was trained on other features than {}, {found}; it may have seen the images that heads are \
         validated on, so name a run of these features, or train one: vgg-head train --features={}",
        run.display(), cache.display(), cache.display()
    )]
    TeacherFeatures {
        /// The flag that names it.
        flag: &'static str,
        /// The run.
        run: PathBuf,
        /// The cache.
        cache: PathBuf,
        /// The difference.
        found: String,
    },
    /// The rows of a split cannot be pseudo-labelled.
    #[error(
        "--pseudo-split={split}: heads are {} its images already; expected test",
        if *split == SplitName::Val { "validated on" } else { "trained on" }
    )]
    PseudoSplit {
        /// The split.
        split: SplitName,
    },
    /// There are no rows to be pseudo-labelled.
    #[error(
        "{} has no image in its {split} split that is not among those that heads are validated on, so there is none for \
         --pseudo; leave --pseudo out",
        path.display()
    )]
    NoPseudoRows {
        /// The cache.
        path: PathBuf,
        /// The split.
        split: SplitName,
    },
    /// A batch of one row has no room for a pseudo-labelled one.
    #[error(
        "--batch-size=1 has no room for pseudo-labelled images beside others; expected 2 or more"
    )]
    NoRoomInBatch,
    /// Training images have no distorted copies that could take turns.
    #[error(
        "{} has no distorted copies of its training images, of which --views-per-epoch=1 takes another one in each \
         epoch; extract again with --views=K, or leave --views-per-epoch out",
        path.display()
    )]
    NoViewsToTakeTurns {
        /// The cache.
        path: PathBuf,
    },
    /// Images of a split have fewer distorted copies than are to be averaged.
    #[error(
        "--tta={wanted}: the {split} images of {} have {}; {}",
        path.display(),
        match found {
            0 => "no distorted copies".to_owned(),
            1 => "1 distorted copy".to_owned(),
            found => format!("{found} distorted copies"),
        },
        match split {
            SplitName::Train => format!("extract again with --views={wanted}"),
            _ => format!("extract again with --{split}-views={wanted}, or leave --tta out"),
        }
    )]
    NoViews {
        /// The cache.
        path: PathBuf,
        /// The split.
        split: SplitName,
        /// Copies of each image.
        found: u32,
        /// Copies asked for.
        wanted: u32,
    },
    /// A run is given twice.
    #[error(
        "the runs {} and {} are the same; name each run of an ensemble once",
        runs[0].display(), runs[1].display()
    )]
    RunTwice {
        /// Their folders.
        runs: [PathBuf; 2],
    },
    /// A table could not be written as CSV.
    #[error("could not write the CSV {}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: csv::Error,
    },
    /// A sample of a submission is not a table.
    #[error("{} is not a table of ids and labels, as a sample of a submission is", path.display())]
    SampleSyntax {
        /// The file.
        path: PathBuf,
        /// The position at which parsing failed, and the reason.
        source: csv::Error,
    },
    /// A sample of a submission has other columns than ids and classes.
    #[error(
        "{} has {found}; expected a column of ids, and then one for the class, or one for each class that is \
         called like it; --sample=none writes ImageId,Label",
        path.display()
    )]
    SampleColumns {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: String,
    },
    /// An id of a sample of a submission is not that of one image.
    #[error(
        "{}: line {line}: the id '{id}' is not that of exactly one of the {}; expected the image's id, the name \
         of its file, with or without the ending, or its number from 1 on. If the features were extracted with \
         --limit, extract all of them; --sample=none writes ImageId,Label",
        path.display(), counted(*images, "predicted image")
    )]
    SampleId {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1, the header included.
        line: usize,
        /// The id.
        id: String,
        /// Number of images that were predicted.
        images: usize,
    },
    /// A file of class weights is not one.
    #[error(
        "{}: {found}; expected a CSV file with the columns class and weight, and one row for each class: {classes}",
        path.display()
    )]
    ClassWeightFile {
        /// The file.
        path: PathBuf,
        /// The fault, with its line.
        found: String,
        /// The classes, or the first of them.
        classes: String,
    },
    /// A file of corrections is not one.
    #[error(
        "{}: {found}; expected a CSV file with the columns id, action and label, where the action is label (with one of \
         the classes {classes}), drop or fine, and the id is that of a training image",
        path.display()
    )]
    CorrectionsFile {
        /// The file.
        path: PathBuf,
        /// The fault, with its line.
        found: String,
        /// The classes, or the first of them.
        classes: String,
    },
    /// Corrections leave a class without training images.
    #[error("{}: {found}; leave some of them in it, or extract again without the class", path.display())]
    CorrectionsEmpty {
        /// The file.
        path: PathBuf,
        /// The class, and how many images it had.
        found: String,
    },
    /// A file of groups is not one.
    #[error(
        "{}: {found}; expected a CSV file with the columns id and group, and one row for each training image",
        path.display()
    )]
    GroupsFile {
        /// The file.
        path: PathBuf,
        /// The fault, with its line.
        found: String,
    },
    /// The dataset was read with groups, and they cannot be read again.
    #[error(
        "the images are grouped by {} of their dataset, which cannot be read now; put it back, or name a CSV file with \
         the columns id and group by --group=FILE",
        column.as_ref().map_or("a column".to_owned(), |column| format!("the column '{column}'"))
    )]
    GroupsOfDataset {
        /// The column; `None` if it was recognised.
        column: Option<String>,
        /// The reason.
        source: Box<Error>,
    },
    /// A class has fewer images, or groups of images, than there are folds.
    #[error(
        "--folds={folds}: the training split of {} has only {} of class '{class}'{}, and each fold needs one; expected \
         at most --folds={groups}",
        path.display(), counted(*images, "image"),
        if groups < images {
            format!(", in {} (images with the same bytes are in one)", counted(*groups, "group"))
        } else {
            String::new()
        }
    )]
    TooFewForFolds {
        /// The cache.
        path: PathBuf,
        /// The class.
        class: String,
        /// Number of its images.
        images: usize,
        /// Number of groups that they are in.
        groups: usize,
        /// Number of folds.
        folds: usize,
    },
    /// Groups leave a fold without a class.
    #[error(
        "--folds={folds}: the groups of the training images of {} leave fold {fold} without an image of class \
         '{class}', whose {} are in {}; take fewer folds, or smaller groups by --group=FILE",
        path.display(), counted(*images, "image"), counted(*groups, "group")
    )]
    FoldWithoutClass {
        /// The cache.
        path: PathBuf,
        /// The fold, counted from 1.
        fold: usize,
        /// The class.
        class: String,
        /// Number of its images.
        images: usize,
        /// Number of groups that they are in.
        groups: usize,
        /// Number of folds.
        folds: usize,
    },
    /// The folder is not a finished cross-validation's.
    #[error(
        "{} is not the folder of a finished cross-validation: {file} is missing; make one with 'vgg-head cv', or give \
         its command again if it was stopped",
        path.display()
    )]
    NotACrossValidation {
        /// The folder.
        path: PathBuf,
        /// The missing file.
        file: &'static str,
    },
    /// No cross-validation is finished under the folder.
    #[error("there is no finished cross-validation in {}; make one with 'vgg-head cv'", root.display())]
    NoCrossValidations {
        /// The folder under which they are made.
        root: PathBuf,
    },
    /// A temperature is asked for where no head is kept to be used.
    #[error(
        "--calibrate: cross-validation keeps no head to be used; calibrate the one that is trained on all images, with \
         'vgg-head train --calibrate'"
    )]
    NothingToCalibrate,
    /// The out-of-fold probabilities are damaged.
    #[error("{}: {found}; give the same 'vgg-head cv' command again, which makes the file again", path.display())]
    DamagedOutOfFold {
        /// The file.
        path: PathBuf,
        /// The fault.
        found: String,
    },
    /// The user pressed Ctrl-C during a cross-validation.
    #[error(
        "finished and kept in {}: {finished} of {}; the same command trains the others, each from its \
         first epoch",
        path.display(), counted(*heads, "head")
    )]
    CrossValidationInterrupted {
        /// The cross-validation.
        path: PathBuf,
        /// Heads trained to their end.
        finished: usize,
        /// Heads asked for.
        heads: usize,
    },
    /// The kernels refused a head or a batch.
    #[error("the head cannot be trained or evaluated")]
    Kernels(#[from] fused_head::Error),
    /// The operating system refused a thread.
    #[error(
        "could not start the thread that reads rows; raise the limit on threads (ulimit -u), or allow more \
         --memory, so that rows are not streamed"
    )]
    NoThread {
        /// The reason.
        source: std::io::Error,
    },
    /// The loss became NaN or infinite.
    #[error(
        "training diverged: the loss became NaN or infinite in epoch {epoch}; try {}",
        match schedule.own_rate() {
            Some(_) => format!("smaller rates in --schedule (it was {schedule})"),
            None => format!("a smaller --lr (it was {learning_rate})"),
        }
    )]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The learning rate.
        learning_rate: f64,
        /// Its course.
        schedule: Schedule,
    },
    /// A linear head has no layers that could have another form.
    #[error(
        "--arch=linear has no hidden layers; leave --hidden, --activation and --batch-norm out, or take another \
         --arch"
    )]
    LinearHasNoLayers,
    /// Rows that are mixed have two labels each, and no probabilities of a teacher.
    #[error(
        "--mixup={mixup} mixes labels, and with --pseudo or --teacher rows have probabilities instead; leave one of them \
         out"
    )]
    MixupWithTeacher {
        /// The α of mixup.
        mixup: f64,
    },
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
    /// The first learning rates that were tested are too high.
    #[error(
        "the loss diverged at the first learning rates, from --from={rate} on; begin with a smaller one"
    )]
    RateTestDiverged {
        /// The rate.
        rate: f64,
    },
    /// The learning rates to be tested do not grow.
    #[error("--from={from} and --to={to}: expected a learning rate and a larger one")]
    RateRange {
        /// The first.
        from: f64,
        /// The last.
        to: f64,
    },
    /// The user pressed Ctrl-C while learning rates were tested.
    #[error("nothing is kept; the same command starts again")]
    RateTestInterrupted,
    /// A learning rate is given beside a schedule that has rates.
    #[error("--schedule={schedule} has the learning rates; leave --lr out")]
    LearningRateTwice {
        /// The schedule, or several.
        schedule: String,
    },
    /// Every setting of a sweep has a head that diverged.
    #[error(
        "every setting has a head that diverged: its loss became NaN or infinite; try a smaller --lr"
    )]
    EverySettingDiverged,
    /// The user pressed Ctrl-C in the first epoch.
    #[error("nothing is kept, since the first epoch had not ended; the same command starts again")]
    InterruptedInFirstEpoch,
    /// The user pressed Ctrl-C.
    #[error(
        "the head after {epochs_done} of {} is kept in {} and can be evaluated; the same command starts \
         again from the first epoch",
        counted(*epochs, "epoch"), path.display()
    )]
    Interrupted {
        /// The run.
        path: PathBuf,
        /// Epochs finished.
        epochs_done: usize,
        /// Epochs asked for.
        epochs: usize,
    },
    /// The user pressed Ctrl-C while a sweep was trained.
    #[error(
        "finished and kept in {}: {finished} of {}; the same command trains the others, each from its \
         first epoch",
        path.display(), counted(*heads, "head")
    )]
    SweepInterrupted {
        /// The sweep.
        path: PathBuf,
        /// Heads trained to their end.
        finished: usize,
        /// Heads asked for.
        heads: usize,
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
