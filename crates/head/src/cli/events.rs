//! Events as lines and a progress bar on standard error.

use head::{Event, Fold, Pooled, Progress, Schedule, TrainConfig, Unfinished};
use plural::counted;
use terminal::{say, with_causes};

/// Tells the user of events.
#[derive(Debug)]
pub(super) struct Teller {
    /// `None` while nothing is trained or compared.
    bar: Option<terminal::Progress>,
}

impl Teller {
    pub(super) fn new() -> Teller {
        Teller { bar: None }
    }

    /// The listener that the library's functions take.
    pub(super) fn listener(&mut self) -> impl FnMut(Event<'_>) {
        |event| self.tell(event)
    }

    fn tell(&mut self, event: Event<'_>) {
        match event {
            Event::Training(progress) => {
                let total = progress.total as u64;
                let new = || terminal::Progress::new("train", "rows x heads", total, 0);
                let bar = self.bar.get_or_insert_with(new);
                bar.set_total(total);
                bar.update(progress.done as u64, &note(progress));
            }
            Event::Trained(progress) => {
                if let Some(mut bar) = self.bar.take() {
                    bar.set_total(progress.total as u64);
                    bar.finish(progress.done as u64, &note(progress));
                }
            }
            Event::Comparing { done, images } => {
                let new = || terminal::Progress::new("compare", "images", images as u64, 0);
                self.bar.get_or_insert_with(new).update(done as u64, "");
                if let Some(bar) = self.bar.take_if(|_| done == images) {
                    bar.finish(done as u64, "");
                }
            }
            event => {
                if let Some(line) = line(event) {
                    say(line);
                }
            }
        }
    }
}

fn note(progress: Progress) -> String {
    let Progress { epoch, epochs, heads, best_val_top1, .. } = progress;
    let mut note = format!("epoch {epoch}/{epochs}");
    if heads > 1 {
        note += &format!(" of {}", counted(heads, "head"));
    }
    if let Some(top1) = best_val_top1 {
        note += &format!(", best val top-1 {:.2} %", 100.0 * top1);
    }
    note
}

/// The line for an event; `None` if it is not shown.
fn line(event: Event<'_>) -> Option<String> {
    Some(match event {
        Event::ReadSplit { .. }
        | Event::Comparing { .. }
        | Event::Training(_)
        | Event::Trained(_) => return None,
        Event::Pooling { split, file } => {
            format!("pooling the {split} features once, into {}", file.display())
        }
        Event::PooledWithoutFile { split, pooled, cause } => {
            let cause = with_causes(cause);
            let pooled = match pooled {
                Pooled::InMemory => "in memory",
                Pooled::WheneverRead => "whenever they are read",
            };
            format!("{cause}; the {split} features are pooled {pooled}, again by every command")
        }
        Event::OtherWindow { heads, trained, now, memory } => {
            let trained = match trained {
                Some(rows) => format!("rows streamed in windows of {rows}"),
                None => "all rows in memory, as far as is recorded".to_owned(),
            };
            let now = match now {
                Some(rows) => format!("they would be streamed in windows of {rows}"),
                None => "all would be in memory".to_owned(),
            };
            let heads =
                if heads == 1 { "the head was".to_owned() } else { format!("{heads} heads were") };
            format!(
                "{heads} trained with {trained}; with {memory} {now}: for such heads, train into \
                 another folder, --out=FOLDER"
            )
        }
        Event::Continuing { finished, heads } => {
            format!("continuing: {finished} of {} already there", counted(heads, "head"))
        }
        Event::StartingAgain { run, state } => {
            format!("{} {} and starts again", run.display(), state_of(state))
        }
        Event::Streaming { window, memory } => format!(
            "features and heads do not fit together into {memory}: rows are streamed, {window} at \
             a time"
        ),
        Event::Diverged { config, epoch } => {
            let TrainConfig { arch, p, learning_rate, schedule, seed, .. } = config;
            let mut head = format!("{arch}, p {p}, lr {learning_rate}");
            if *schedule != Schedule::Constant {
                head += &format!(", {schedule}");
            }
            for (name, value) in [
                ("weight decay", config.weight_decay),
                ("label smoothing", config.label_smoothing),
                ("mixup", config.mixup),
            ] {
                if value != 0.0 {
                    head += &format!(", {name} {value}");
                }
            }
            format!("{head}, seed {seed}: diverged in epoch {epoch}")
        }
        Event::Fold { fold: Fold { folds, fold, repeat, .. }, repeats } => {
            let of_repeats =
                if repeats > 1 { format!(", repeat {repeat} of {repeats}") } else { String::new() };
            format!("fold {fold} of {folds}{of_repeats}")
        }
        Event::GroupsUnknown { error } => format!(
            "whether the dataset has groups of images that must be in one fold is not known, since it cannot be read \
             ({}); if it has, give --group=FILE",
            with_causes(error)
        ),
        Event::DamagedSweep { error } => format!(
            "{}: the heads that are whole are kept, the others trained again",
            with_causes(error)
        ),
        Event::EvaluatingAgain { sweep, split } => format!(
            "{} has no evaluation of its best head: the {split} split is read once more",
            sweep.display()
        ),
    })
}

/// The state of a run, worded to follow its path.
fn state_of(state: &Unfinished) -> String {
    match state {
        Unfinished::Interrupted { epochs } => {
            format!("was interrupted after {}", counted(*epochs, "epoch"))
        }
        Unfinished::DidNotEnd => "did not end".to_owned(),
        Unfinished::Damaged(error) => format!("is damaged ({})", with_causes(error)),
    }
}
