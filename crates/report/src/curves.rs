//! The plots of loss and top-1 against epochs.

use maud::{Markup, html};
use plural::counted;

use crate::data::{EpochMetrics, Sweep, TrainedHead};
use crate::legend::{Sample, key};
use crate::mean_sd::MeanSd;
use crate::naming::Naming;
use crate::plot::{self, Axis, Form, HIGHLIGHTED, Panel, Px, axes, class, mark, path};
use crate::ranking::{Group, higher_first};
use crate::scale::{Scale, extent};

/// The learning curve of a setting's heads or of a single head, a line in each panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name in the key.
    pub label: String,
    /// The epochs of each seed, in order.
    pub seeds: Vec<Vec<EpochMetrics>>,
}

impl Curve {
    /// The curve of a single head.
    pub fn single(label: impl Into<String>, epochs: Vec<EpochMetrics>) -> Curve {
        Curve { label: label.into(), seeds: vec![epochs] }
    }

    /// The pairs (epoch, metric), with the mean over seeds, of the epochs that all seeds have.
    fn mean(&self, metric: Metric) -> Vec<(f64, f64)> {
        let epochs = self.seeds.iter().map(Vec::len).min().unwrap_or(0);
        (0..epochs)
            .filter_map(|index| {
                let of_seeds: Option<Vec<f64>> =
                    self.seeds.iter().map(|epochs| metric(&epochs[index])).collect();
                let mean = MeanSd::of(&of_seeds?)?.mean;
                Some((self.seeds[0][index].epoch as f64, mean))
            })
            .collect()
    }

    fn last(&self, metric: Metric) -> Option<f64> {
        self.mean(metric).last().map(|(_, mean)| *mean)
    }
}

impl Sweep {
    /// The curves of the settings, best first.
    pub fn curves(&self) -> Vec<Curve> {
        let naming = Naming::of(self);
        let curve = |group: Group<'_, TrainedHead>| Curve {
            label: naming.full(&group.setting),
            seeds: group.heads.iter().map(|head| head.epochs.clone()).collect(),
        };
        self.groups().into_iter().map(curve).collect()
    }
}

/// Training and validation loss (nats) and top-1 (percent) against epochs, as an SVG file. The lines are
/// means over seeds. The curves with the best validation top-1 in the last epoch are in colour, the others
/// gray.
pub fn learning_curves_svg(curves: &[Curve]) -> String {
    let (height, content) = drawing(curves, Form::Wide);
    plot::standalone(Form::Wide, height, &label(curves), &content)
}

/// The same plot for a page that has the style.
pub(crate) fn inline(curves: &[Curve], form: Form) -> Markup {
    let (height, content) = drawing(curves, form);
    plot::canvas(form, height, &label(curves), &content)
}

type Metric = fn(&EpochMetrics) -> Option<f64>;

struct Quantity {
    title: &'static str,
    train: Metric,
    val: Metric,
}

const LOSS: Quantity = Quantity {
    title: "Loss (nats)",
    train: |epoch| Some(epoch.train_loss),
    val: |epoch| epoch.val_loss,
};

const TOP1: Quantity = Quantity {
    title: "Top-1 (%)",
    train: |epoch| Some(epoch.train_top1 * 100.0),
    val: |epoch| epoch.val_top1.map(|top1| top1 * 100.0),
};

fn label(curves: &[Curve]) -> String {
    let settings = counted(curves.len(), "setting");
    format!("Learning curves: loss and top-1 against epochs, {settings}")
}

/// The curves that have an epoch, ordered by validation top-1 in the last epoch, best first.
fn ranked(curves: &[Curve]) -> Vec<&Curve> {
    let mut ranked: Vec<&Curve> =
        curves.iter().filter(|curve| !curve.mean(TOP1.train).is_empty()).collect();
    ranked.sort_by(|a, b| higher_first(a.last(TOP1.val), b.last(TOP1.val)));
    ranked
}

/// The drawing and its height.
fn drawing(curves: &[Curve], form: Form) -> (f64, Markup) {
    let curves = ranked(curves);
    if curves.is_empty() {
        return plot::empty(form, "No epoch was finished.");
    }
    let width = form.width();
    let (loss, top1) = match form {
        Form::Wide => {
            let panel = |left, right| Panel { left, right, top: 38.0, bottom: 320.0, title: 24.0 };
            (panel(48.0, width / 2.0 - 14.0), panel(width / 2.0 + 50.0, width - 12.0))
        }
        Form::Narrow => {
            let panel = |top, bottom| Panel {
                left: 48.0,
                right: width - 12.0,
                top,
                bottom,
                title: top - 14.0,
            };
            (panel(38.0, 230.0), panel(320.0, 512.0))
        }
    };
    let below = top1.bottom + 48.0;
    let (key, key_height) = key(&entries(&curves), (8.0, width - 8.0), below);
    let content = html! {
        (panel(&curves, &LOSS, loss))
        (panel(&curves, &TOP1, top1))
        (key)
    };
    (below + key_height + 10.0, content)
}

fn entries(curves: &[&Curve]) -> Vec<(Sample, String)> {
    let coloured = curves.len().min(HIGHLIGHTED);
    let mut entries = Vec::new();
    if curves.iter().any(|curve| curve.last(TOP1.val).is_some()) {
        entries.push((Sample::Validation, "validation".into()));
    }
    entries.push((Sample::Training, "training (with dropout)".into()));
    let series = curves[..coloured].iter().enumerate();
    entries.extend(series.map(|(rank, curve)| (Sample::Series(rank), curve.label.clone())));
    if curves.len() > coloured {
        entries.push((Sample::Others, counted(curves.len() - coloured, "other setting")));
    }
    entries
}

fn panel(curves: &[&Curve], quantity: &Quantity, panel: Panel) -> Markup {
    let lines: Vec<Lines> = curves
        .iter()
        .enumerate()
        .map(|(rank, curve)| {
            let val = curve.mean(quantity.val);
            let train = if gray_training(rank, &val) { vec![] } else { curve.mean(quantity.train) };
            Lines { train, val }
        })
        .collect();
    let (x, y) = scales(&lines, quantity, panel);
    html! {
        (axes(panel, &x, &y))
        // The best curve is drawn last, on top of the others.
        @for (rank, (curve, lines)) in curves.iter().zip(&lines).enumerate().rev() {
            g class=(class(rank)) {
                title { (curve.label) }
                (line("line train", rank, &lines.train, &x, &y))
                (line("line", rank, &lines.val, &x, &y))
            }
        }
    }
}

/// The points (epoch, metric) of a curve in one panel.
struct Lines {
    train: Vec<(f64, f64)>,
    val: Vec<(f64, f64)>,
}

/// Whether a curve's training line is omitted. Training lines of gray curves would hide the others, and
/// settings are compared by validation.
fn gray_training(rank: usize, val: &[(f64, f64)]) -> bool {
    rank >= HIGHLIGHTED && !val.is_empty()
}

fn line(class: &str, rank: usize, points: &[(f64, f64)], x: &Axis, y: &Axis) -> Markup {
    let at = |(epoch, number): (f64, f64)| (x.scale.at(epoch), y.scale.at(number));
    let mut finite = points.iter().copied().filter(|(_, number)| number.is_finite()).map(at);
    let (alone, last) = (finite.clone().count() == 1, finite.next_back());
    html! {
        @if !points.is_empty() { path class=(class) d=(path(points.iter().copied().map(at))) {} }
        @if let Some((x, y)) = last {
            // Validation lines end with the mark that the key shows, without which a line through a single
            // point would be invisible.
            @if class == "line" && rank < HIGHLIGHTED { (mark(rank, x, y)) }
            @else if alone { circle.mean cx=(Px(x)) cy=(Px(y)) r="3" {} }
        }
    }
}

/// The axes that contain all curves. A loss that spans a decade has a logarithmic scale, and an accuracy
/// whose error spans a factor of five has one in its error. Otherwise the late epochs, which are to be
/// compared, would lie on top of each other.
fn scales(lines: &[Lines], quantity: &Quantity, panel: Panel) -> (Axis<'static>, Axis<'static>) {
    let points = || lines.iter().flat_map(|lines| lines.train.iter().chain(&lines.val));
    let (first, last) = extent(points().map(|(epoch, _)| *epoch)).unwrap_or((0.0, 1.0));
    let x = Scale::linear((first, last), (panel.left + 6.0, panel.right - 6.0));
    let ticks = x.ticks(6).into_iter().filter(|(epoch, _)| epoch.fract() == 0.0);
    let ticks = ticks.map(|(epoch, _)| (epoch, format!("{epoch:.0}"))).collect();

    let (low, high) = extent(points().map(|(_, number)| *number)).unwrap_or((0.0, 1.0));
    let pixels = (panel.bottom, panel.top);
    let is_loss = quantity.title == LOSS.title;
    let (y, title) = if is_loss && low > 0.0 && high / low > 10.0 {
        (Scale::logarithmic((low / 1.1, high * 1.1), pixels), "Loss (nats, logarithmic)")
    } else if is_loss {
        (Scale::linear((0.0, high.max(f64::MIN_POSITIVE) * 1.05), pixels), quantity.title)
    } else {
        let y = Scale::accuracy((low, high), pixels);
        (y, if y.is_logarithmic() { "Top-1 (%, error logarithmic)" } else { quantity.title })
    };
    (Axis { scale: x, ticks, title: "epoch" }, Axis { ticks: y.ticks(5), scale: y, title })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{head, small_sweep};

    #[test]
    fn one_training_is_two_lines_in_each_panel() {
        let epochs = head("fastai", 0.6, 0, 0.97).epochs;
        let svg = learning_curves_svg(&[Curve::single("fastai, p 0.6", epochs)]);
        assert_eq!(svg.matches("<title>fastai, p 0.6</title>").count(), 2);
        assert_eq!(svg.matches("class=\"line train\"").count(), 2 + 1);
        assert!(svg.contains(">fastai, p 0.6</text>"), "{svg}");
    }

    #[test]
    fn a_setting_is_one_line_the_mean_over_its_seeds() {
        let curves = small_sweep().curves();
        assert_eq!(curves.len(), 4);
        assert_eq!(curves[0].label, "keras, p 0.6");
        let mean = curves[0].mean(TOP1.val);
        assert_eq!(mean.len(), 3);
        assert!((mean[2].1 - 98.1).abs() < 1e-9, "{mean:?}");
    }

    #[test]
    fn seeds_that_stopped_early_shorten_the_mean() {
        let mut curve = small_sweep().curves().remove(0);
        curve.seeds[1].truncate(2);
        assert_eq!(curve.mean(LOSS.val).len(), 2);
    }

    #[test]
    fn sixty_settings_stay_readable() {
        let heads =
            (0..60).map(|arch| head(&format!("a{arch:02}"), 0.5, 0, 0.9 + 0.001 * arch as f64));
        let svg = learning_curves_svg(&Sweep { heads: heads.collect(), chosen: None }.curves());
        assert!(svg.contains("55 other settings") && svg.contains(">a59, p 0.5</text>"), "{svg}");
        assert_eq!(svg.matches(", p 0.5</text>").count(), HIGHLIGHTED);
        assert_eq!(svg.matches("<g class=\"other\">").count(), 2 * 55 + 1);
    }

    #[test]
    fn without_validation_only_training_is_drawn() {
        let mut epochs = head("fastai", 0.6, 0, 0.97).epochs;
        for epoch in &mut epochs {
            (epoch.val_loss, epoch.val_top1) = (None, None);
        }
        let svg = learning_curves_svg(&[Curve::single("x", epochs)]);
        assert!(!svg.contains("validation") && !svg.contains("NaN"), "{svg}");
        assert_eq!(svg.matches("class=\"line train\"").count(), 2 + 1);
    }

    #[test]
    fn one_epoch_is_a_point_and_none_a_note() {
        let epochs = head("fastai", 0.6, 0, 0.97).epochs[..1].to_vec();
        let svg = learning_curves_svg(&[Curve::single("x", epochs)]);
        assert_eq!(svg.matches("<circle class=\"mean\"").count(), 4 + 1);
        assert!(!svg.contains("NaN"), "{svg}");
        let svg = learning_curves_svg(&[Curve::single("x", vec![])]);
        assert!(svg.contains("No epoch was finished."));
    }

    #[test]
    fn a_loss_over_decades_is_logarithmic_and_a_diverged_one_is_left_out() {
        let mut epochs = head("fastai", 0.6, 0, 0.97).epochs;
        assert!(
            !learning_curves_svg(&[Curve::single("x", epochs.clone())]).contains("logarithmic")
        );
        epochs[2].val_loss = Some(0.01);
        assert!(learning_curves_svg(&[Curve::single("x", epochs.clone())]).contains("logarithmic"));
        (epochs[0].val_top1, epochs[1].val_top1) = (Some(0.5), Some(0.96));
        (epochs[2].val_loss, epochs[2].val_top1) = (Some(f64::NAN), Some(f64::NAN));
        epochs[1].train_loss = f64::INFINITY;
        let svg = learning_curves_svg(&[Curve::single("x", epochs)]);
        assert!(svg.contains("error logarithmic"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let points = |line: &str| line.matches(['M', 'L']).count();
        let val =
            svg.lines().filter(|line| line.contains("class=\"line\"") && !line.contains("h24"));
        assert_eq!(val.map(points).collect::<Vec<_>>(), [2, 2], "{svg}");
    }
}
