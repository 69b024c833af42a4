//! The elements of both plots as SVG: a canvas, axes, lines and marks.
//!
//! The crate plotters is not used. Its SVG backend (0.3) writes every colour as a fixed hex value on every
//! element, at whole pixels, without groups, classes or titles. Its drawings could follow the reader's
//! light or dark mode only by replacing colours in the text, and their elements have no tooltips. Here
//! colours are CSS variables, each line has its name as a title, and maud escapes the text.

use std::fmt::Write;

use maud::{Markup, PreEscaped, Render, html};

use crate::scale::Scale;

const COLOURS: &str = include_str!("colours.css");
const STYLE: &str = include_str!("plot.css");

/// The number of colours that can be told apart. Lines of lower rank are gray.
pub(crate) const HIGHLIGHTED: usize = 5;

/// The style's class for the line of this rank; 0 is the best.
pub(crate) fn class(rank: usize) -> &'static str {
    ["s0", "s1", "s2", "s3", "s4"].get(rank).copied().unwrap_or("other")
}

/// The kind of screen that a plot is drawn for. Phones have a drawing of their own, so that the text keeps
/// its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A page or a desktop screen.
    Wide,
    /// A phone.
    Narrow,
}

impl Form {
    /// Width of the drawing in its own units, which are CSS pixels at full size.
    pub(crate) fn width(self) -> f64 {
        match self {
            Form::Wide => 820.0,
            Form::Narrow => 360.0,
        }
    }
}

/// A coordinate, to a tenth of a pixel.
pub(crate) struct Px(pub(crate) f64);

impl Render for Px {
    fn render_to(&self, buffer: &mut String) {
        let rounded = (self.0 * 10.0).round() / 10.0;
        // A zero must not become "-0". Writing to a String cannot fail.
        let _ = write!(buffer, "{}", if rounded == 0.0 { 0.0 } else { rounded });
    }
}

/// The rectangle in which lines are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panel {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    /// Baseline of the vertical axis's title, above the panel.
    pub(crate) title: f64,
}

/// An axis of a panel.
pub(crate) struct Axis<'a> {
    pub(crate) scale: Scale,
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) title: &'a str,
}

/// Grid lines, ticks and titles. The title of the vertical axis is above it, so that it is horizontal.
pub(crate) fn axes(panel: Panel, x: &Axis, y: &Axis) -> Markup {
    let Panel { left, right, bottom, title, .. } = panel;
    html! {
        text.title x=(Px(left - 40.0)) y=(Px(title)) { (y.title) }
        @for (tick, label) in &y.ticks {
            @let at = y.scale.at(*tick);
            line.grid x1=(Px(left)) x2=(Px(right)) y1=(Px(at)) y2=(Px(at)) {}
            text.tick x=(Px(left - 8.0)) y=(Px(at + 4.0)) text-anchor="end" { (label) }
        }
        line.axis x1=(Px(left)) x2=(Px(right)) y1=(Px(bottom)) y2=(Px(bottom)) {}
        @for (tick, label) in &x.ticks {
            @let at = x.scale.at(*tick);
            line.axis x1=(Px(at)) x2=(Px(at)) y1=(Px(bottom)) y2=(Px(bottom + 4.0)) {}
            text.tick x=(Px(at)) y=(Px(bottom + 18.0)) text-anchor="middle" { (label) }
        }
        text.tick x=(Px((left + right) / 2.0)) y=(Px(bottom + 36.0)) text-anchor="middle" {
            (x.title)
        }
    }
}

/// A line through the points. Points that are not finite interrupt it.
pub(crate) fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    let mut command = 'M';
    for (x, y) in points {
        if x.is_finite() && y.is_finite() {
            path.push(command);
            Px(x).render_to(&mut path);
            path.push(' ');
            Px(y).render_to(&mut path);
            command = 'L';
        } else {
            command = 'M';
        }
    }
    path
}

/// The mark of a mean. Its shape distinguishes lines even without their colours.
pub(crate) fn mark(rank: usize, x: f64, y: f64) -> Markup {
    let points: &[(f64, f64)] = match rank % 3 {
        1 => &[(-4.0, -4.0), (4.0, -4.0), (4.0, 4.0), (-4.0, 4.0)],
        2 => &[(0.0, -5.5), (5.0, 3.8), (-5.0, 3.8)],
        _ => return html! { circle.mean cx=(Px(x)) cy=(Px(y)) r="4.5" {} },
    };
    html! { path.mean d={ (path(points.iter().map(|(dx, dy)| (x + dx, y + dy)))) "Z" } {} }
}

/// The mark of the test result, which differs from that of every line.
pub(crate) fn diamond(x: f64, y: f64) -> Markup {
    let points = [(0.0, -7.0), (5.5, 0.0), (0.0, 7.0), (-5.5, 0.0)];
    html! { path d={ (path(points.map(|(dx, dy)| (x + dx, y + dy)))) "Z" } {} }
}

/// The drawing, `height` pixels high. Screen readers read `label` instead of it.
pub(crate) fn canvas(form: Form, height: f64, label: &str, content: &Markup) -> Markup {
    let width = form.width();
    let class = match form {
        Form::Wide => "plot wide",
        Form::Narrow => "plot narrow",
    };
    html! {
        svg class=(class) xmlns="http://www.w3.org/2000/svg" role="img" aria-label=(label)
            viewBox={ "0 0 " (Px(width)) " " (Px(height)) } width=(Px(width)) height=(Px(height)) {
            (content)
        }
    }
}

/// The drawing with its style, as a file of its own.
pub(crate) fn standalone(form: Form, height: f64, label: &str, content: &Markup) -> String {
    let content = html! { style { (style()) } (content) };
    let svg = canvas(form, height, label, &content).into_string();
    // Text is escaped, so these two characters occur together only between elements.
    svg.replace("><", ">\n<") + "\n"
}

/// The style of all plots, whose colours follow the reader's light or dark mode.
pub(crate) fn style() -> PreEscaped<String> {
    PreEscaped(format!("\n{COLOURS}{STYLE}"))
}

/// An empty drawing with a message that gives the reason.
pub(crate) fn empty(form: Form, message: &str) -> (f64, Markup) {
    let content = html! {
        text.key x=(Px(form.width() / 2.0)) y="60" text-anchor="middle" { (message) }
    };
    (110.0, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_interrupted_where_a_number_is_missing() {
        let points = [(0.0, 1.0), (1.0, 2.04), (2.0, f64::NAN), (3.0, -0.01), (4.0, 5.0)];
        assert_eq!(path(points), "M0 1L1 2M3 0L4 5");
    }
}
