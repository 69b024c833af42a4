//! The plot of the loss against the learning rate, of a learning rate range test.

use maud::html;
use serde::Serialize;

use crate::legend::{Sample, key};
use crate::plot::{self, Axis, Form, Panel, Px, axes, class, path};
use crate::scale::{Scale, extent};

/// A step of a learning rate range test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RatedLoss {
    /// The learning rate.
    pub learning_rate: f64,
    /// The batch's mean loss in nats.
    pub loss: f64,
    /// The average of the losses so far, in which the last ones count most.
    pub smoothed: f64,
}

/// The loss, smoothed and of each batch, against the learning rate, which has a logarithmic scale, as an SVG file. A
/// line marks the rate that is suggested.
pub fn learning_rates_svg(steps: &[RatedLoss], suggestion: f64) -> String {
    let form = Form::Wide;
    let rates = extent(steps.iter().map(|step| step.learning_rate));
    let Some((first, last)) = rates.filter(|(first, last)| *first > 0.0 && last > first) else {
        let (height, content) = plot::empty(form, "There are fewer than two steps.");
        return plot::standalone(form, height, "Loss against the learning rate", &content);
    };
    let panel =
        Panel { left: 48.0, right: form.width() - 12.0, top: 38.0, bottom: 320.0, title: 24.0 };
    let x = Scale::logarithmic((first, last), (panel.left + 6.0, panel.right - 6.0));
    let decades = first.log10().ceil() as i32..=last.log10().floor() as i32;
    let ticks =
        decades.map(|power| (10f64.powi(power), format!("{:e}", 10f64.powi(power)))).collect();
    let x = Axis { scale: x, ticks, title: "learning rate" };
    // A batch's loss may be far above, and is cut off.
    let (_, high) = extent(steps.iter().map(|step| step.smoothed)).unwrap_or((0.0, 1.0));
    let high = high.max(f64::MIN_POSITIVE) * 1.05;
    let y = Scale::linear((0.0, high), (panel.bottom, panel.top));
    let y = Axis { ticks: y.ticks(5), scale: y, title: "Loss (nats)" };
    let line = |of: fn(&RatedLoss) -> f64| {
        path(steps.iter().map(|step| {
            let loss = of(step);
            let at = if loss <= high { y.scale.at(loss) } else { f64::NAN };
            (x.scale.at(step.learning_rate), at)
        }))
    };
    let below = panel.bottom + 48.0;
    let entries =
        [(Sample::Validation, "smoothed".to_owned()), (Sample::Training, "each batch".to_owned())];
    let (key, key_height) = key(&entries, (8.0, form.width() - 8.0), below);
    let suggested = x.scale.at(suggestion);
    let is_inside = (panel.left..=panel.right).contains(&suggested);
    let content = html! {
        (axes(panel, &x, &y))
        g class=(class(0)) {
            path class="line train" d=(line(|step| step.loss)) {}
            path class="line" d=(line(|step| step.smoothed)) {}
        }
        @if is_inside {
            line.axis x1=(Px(suggested)) x2=(Px(suggested)) y1=(Px(panel.top)) y2=(Px(panel.bottom)) {}
            text.tick x=(Px(suggested)) y=(Px(panel.top - 6.0)) text-anchor="middle" {
                "suggested: " (format!("{suggestion:.1e}"))
            }
        }
        (key)
    };
    let label = format!("Loss against the learning rate; {suggestion:.1e} is suggested");
    plot::standalone(form, below + key_height + 10.0, &label, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(losses: &[f64]) -> Vec<RatedLoss> {
        let rate = |index: usize| 10f64.powi(index as i32 - 4);
        let step = |(index, &loss): (usize, &f64)| RatedLoss {
            learning_rate: rate(index),
            loss: 2.0 * loss,
            smoothed: loss,
        };
        losses.iter().enumerate().map(step).collect()
    }

    #[test]
    fn each_decade_has_a_tick_and_the_suggestion_a_line() {
        let svg = learning_rates_svg(&steps(&[2.0, 1.5, 0.5, 4.0]), 1e-3);
        for says in [">1e-4<", ">1e-3<", ">1e-2<", ">1e-1<", ">suggested: 1.0e-3<", ">smoothed<"] {
            assert!(svg.contains(says), "{says}: {svg}");
        }
        // The last batch's loss is outside, and its line ends before it.
        let batches = svg.lines().find(|line| line.contains("\"line train\" d")).unwrap();
        assert_eq!(batches.matches(['M', 'L']).count(), 3, "{batches}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        assert!(!learning_rates_svg(&steps(&[2.0, 1.5]), 1e-9).contains(">suggested"));
    }

    #[test]
    fn without_steps_there_is_a_note() {
        for few in [0, 1] {
            let svg = learning_rates_svg(&steps(&[2.0][..few]), 1e-3);
            assert!(svg.contains("There are fewer than two steps.") && !svg.contains("NaN"));
        }
    }
}
