//! Legends: names beside the ends of lines, or a key below the plot.

use maud::{Markup, html};

use crate::plot::{Px, diamond, mark};

const LINE_HEIGHT: f64 = 21.0;
const GAP: f64 = 18.0;

/// The mark before an entry of the key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sample {
    /// The line of this rank, with its mark.
    Series(usize),
    /// The gray lines.
    Others,
    /// Any validation line.
    Validation,
    /// Any training line.
    Training,
    /// The spread over seeds.
    Band,
    /// A single seed.
    Seed,
    /// The test result.
    Test,
}

/// The drawing and the height of a key below a plot. A row has as many entries as fit.
pub(crate) fn key(
    entries: &[(Sample, String)],
    (left, right): (f64, f64),
    top: f64,
) -> (Markup, f64) {
    let (mut x, mut y) = (left, top);
    let mut placed = Vec::new();
    for (sample, text) in entries {
        let text = shortened(text, right - left - 30.0);
        // The key's text is smaller and not bold.
        let width = 30.0 + 0.87 * text_width(&text);
        if x > left && x + width > right {
            (x, y) = (left, y + LINE_HEIGHT);
        }
        placed.push((*sample, text, x, y + LINE_HEIGHT / 2.0));
        x += width + GAP;
    }
    let drawing = html! {
        @for (sample, text, x, y) in &placed {
            (drawn(*sample, *x, *y))
            text.key x=(Px(x + 30.0)) y=(Px(y + 4.0)) { (text) }
        }
    };
    let height = if entries.is_empty() { 0.0 } else { y - top + LINE_HEIGHT };
    (drawing, height)
}

fn drawn(sample: Sample, x: f64, y: f64) -> Markup {
    let line = |class: &str, kind: &str| {
        html! { g class=(class) { path class=(kind) d={ "M" (Px(x)) " " (Px(y)) "h24" } {} } }
    };
    match sample {
        Sample::Series(rank) => html! {
            g class=(crate::plot::class(rank)) {
                path.line d={ "M" (Px(x)) " " (Px(y)) "h24" } {}
                (mark(rank, x + 12.0, y))
            }
        },
        Sample::Others => line("other", "line"),
        Sample::Validation => line("plain", "line"),
        Sample::Training => line("plain", "line train"),
        Sample::Band => html! {
            g.plain { rect.band x=(Px(x)) y=(Px(y - 6.0)) width="24" height="12" {} }
        },
        Sample::Seed => html! {
            g.plain { circle.seed cx=(Px(x + 12.0)) cy=(Px(y)) r="2.5" {} }
        },
        Sample::Test => html! { g.test { (diamond(x + 12.0, y)) } },
    }
}

/// Moves positions as little as possible so that they are at least `gap` apart, in the same order, and
/// within the bounds if they fit.
pub(crate) fn apart(wanted: &[f64], gap: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut placed = wanted.to_vec();
    let mut floor = low;
    for &index in &order {
        placed[index] = placed[index].max(floor);
        floor = placed[index] + gap;
    }
    let mut ceiling = high;
    for &index in order.iter().rev() {
        placed[index] = placed[index].min(ceiling);
        ceiling = placed[index] - gap;
    }
    placed
}

/// An upper estimate of a text's width in pixels, bold at 13 px. There is no font to measure it with.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().map(|letter| if letter.is_ascii() { 7.8 } else { 11.0 }).sum()
}

/// The text, cut off if it would be wider than `width` pixels.
pub(crate) fn shortened(text: &str, width: f64) -> String {
    if text_width(text) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut room = width - text_width("…");
    for letter in text.chars() {
        room -= text_width(letter.encode_utf8(&mut [0; 4]));
        if room < 0.0 {
            break;
        }
        short.push(letter);
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart_and_stay_in_order() {
        let placed = apart(&[50.0, 51.0, 10.0, 98.0, 99.0], 15.0, (0.0, 100.0));
        assert_eq!(placed[2], 10.0);
        assert!(placed[1] - placed[0] >= 15.0);
        assert!(placed[4] <= 100.0 && placed[4] - placed[3] >= 15.0);
        assert!(placed[0] < placed[1] && placed[1] < placed[3]);
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(shortened("keras", 100.0), "keras");
        let cut = shortened("an architecture with a very long name", 100.0);
        assert!(cut.ends_with('…') && text_width(&cut) <= 100.0, "{cut}");
    }

    #[test]
    fn a_key_breaks_into_rows() {
        let entries: Vec<_> = (0..4).map(|rank| (Sample::Series(rank), "x".repeat(20))).collect();
        assert_eq!(key(&entries, (0.0, 400.0), 0.0).1, 2.0 * LINE_HEIGHT);
        assert_eq!(key(&[], (0.0, 400.0), 0.0).1, 0.0);
    }
}
