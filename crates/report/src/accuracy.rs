//! The plot of validation top-1 against dropout.

use maud::{Markup, html};
use plural::counted;

use crate::data::{Setting, Sweep};
use crate::legend::{Sample, apart, key, shortened, text_width};
use crate::mean_sd::MeanSd;
use crate::naming::Naming;
use crate::numbers::{percent, percent_with_spread, short};
use crate::plot::{self, Axis, Form, HIGHLIGHTED, Panel, Px, axes, class, diamond, mark, path};
use crate::ranking::higher_first;
use crate::scale::{Scale, extent, padded};

/// Validation top-1 (percent) against dropout p, as an SVG file. There is a line for each architecture, or
/// for each combination of what else varies. A line goes through the means over seeds, with
/// a band of one standard deviation and the single seeds as dots. The chosen setting's test result is also
/// shown. The best lines are in colour, the others gray.
pub fn accuracy_vs_dropout_svg(sweep: &Sweep) -> String {
    let (height, content) = drawing(sweep, Form::Wide);
    plot::standalone(Form::Wide, height, &label(sweep), &content)
}

/// The same plot for a page that has the style.
pub(crate) fn inline(sweep: &Sweep, form: Form) -> Markup {
    let (height, content) = drawing(sweep, form);
    plot::canvas(form, height, &label(sweep), &content)
}

struct Line {
    name: String,
    /// The points, by increasing p.
    points: Vec<Point>,
}

struct Point {
    p: f64,
    top1: MeanSd,
    /// The seed and the top-1 of each head.
    seeds: Vec<(u64, f64)>,
}

/// The sweep's lines. The one with the best point comes first.
fn lines(sweep: &Sweep) -> Vec<Line> {
    let naming = Naming::of(sweep);
    let mut lines: Vec<(Setting, Line)> = Vec::new();
    for group in sweep.groups() {
        let Some(top1) = group.val_top1().filter(|top1| top1.mean.is_finite()) else { continue };
        let seeds = group.heads.iter().map(|head| &head.result);
        let seeds = seeds.filter_map(|head| Some((head.seed, head.val_top1?)));
        let point = Point { p: group.setting.p, top1, seeds: seeds.collect() };
        let same = |other: &Setting| Setting { p: other.p, ..group.setting.clone() } == *other;
        match lines.iter_mut().find(|(setting, _)| same(setting)) {
            Some((_, line)) => line.points.push(point),
            None => {
                let name = naming.without_p(&group.setting);
                lines.push((group.setting, Line { name, points: vec![point] }));
            }
        }
    }
    let mut lines: Vec<Line> = lines.into_iter().map(|(_, line)| line).collect();
    for line in &mut lines {
        line.points.sort_by(|a, b| a.p.total_cmp(&b.p));
    }
    let best =
        |line: &Line| line.points.iter().map(|point| point.top1.mean).max_by(|a, b| a.total_cmp(b));
    lines.sort_by(|a, b| higher_first(best(a), best(b)));
    lines
}

fn label(sweep: &Sweep) -> String {
    let best = lines(sweep).into_iter().next().map(|line| {
        let highest = line.points.iter().max_by(|a, b| a.top1.mean.total_cmp(&b.top1.mean));
        let highest = highest.expect("a line has points");
        format!(
            ": highest is {} at p {} with {} %",
            line.name,
            short(highest.p),
            percent_with_spread(&highest.top1)
        )
    });
    format!("Validation top-1 against dropout{}", best.unwrap_or_default())
}

/// The drawing and its height.
fn drawing(sweep: &Sweep, form: Form) -> (f64, Markup) {
    let lines = lines(sweep);
    if lines.is_empty() {
        return plot::empty(form, "No head has a validation result.");
    }
    let test = sweep.chosen.as_ref().and_then(|chosen| {
        Some((&chosen.setting, chosen.test.filter(|top1| top1.mean.is_finite())?))
    });
    let coloured = lines.len().min(HIGHLIGHTED);
    let beside = form == Form::Wide && lines.len() > 1;
    let names: Vec<String> =
        lines[..coloured].iter().map(|line| shortened(&line.name, 220.0)).collect();
    let names_width = names.iter().map(|name| text_width(name) + 32.0).fold(0.0, f64::max);
    let panel = Panel {
        left: 48.0,
        right: form.width() - if beside { names_width } else { 16.0 },
        top: if test.is_some() { 66.0 } else { 36.0 },
        bottom: if form == Form::Wide { 390.0 } else { 300.0 },
        title: 20.0,
    };
    let (x, y) = scales(&lines, test.as_ref().map(|(_, top1)| top1), panel);
    let at = |p: f64, top1: f64| (x.scale.at(p), y.scale.at(top1 * 100.0));

    let wanted: Vec<f64> = lines[..coloured]
        .iter()
        .map(|line| line.points.last().map_or(panel.bottom, |point| at(point.p, point.top1.mean).1))
        .collect();
    let placed = apart(&wanted, 17.0, (panel.top, panel.bottom));
    let (key, key_height) = key(
        &entries(&lines, beside, test.is_some()),
        (8.0, form.width() - 8.0),
        panel.bottom + 50.0,
    );
    let content = html! {
        (axes(panel, &x, &y))
        // The best line is drawn last, on top of the others.
        @for (rank, line) in lines.iter().enumerate().rev() { (drawn(line, rank, &at)) }
        @if beside {
            @for (rank, name) in names.iter().enumerate() {
                @let end = lines[rank].points.last().map_or(panel.right, |point| x.scale.at(point.p));
                g class=(class(rank)) {
                    line.leader x1=(Px(end + 7.0)) y1=(Px(wanted[rank])) x2=(Px(panel.right + 18.0)) y2=(Px(placed[rank])) {}
                    text.name x=(Px(panel.right + 22.0)) y=(Px(placed[rank] + 4.5)) { (name) }
                }
            }
        }
        @if let Some((setting, top1)) = test {
            (tested(&Naming::of(sweep).full(setting), &top1, at(setting.p, top1.mean), &y.scale, (panel, form)))
        }
        (key)
    };
    (panel.bottom + 50.0 + key_height + 10.0, content)
}

/// The axes that contain all points, in p and in percent.
fn scales(lines: &[Line], test: Option<&MeanSd>, panel: Panel) -> (Axis<'static>, Axis<'static>) {
    let points = || lines.iter().flat_map(|line| &line.points);
    let spreads = points().map(|point| &point.top1).chain(test);
    let top1 = spreads
        .flat_map(|top1| [top1.band().0, top1.band().1])
        .chain(points().flat_map(|point| point.seeds.iter().map(|(_, top1)| *top1)));
    let (low, high) = extent(top1).unwrap_or((0.0, 1.0));
    let y = Scale::accuracy((low * 100.0, high * 100.0), (panel.bottom, panel.top));
    let title = if y.is_logarithmic() {
        "Validation top-1 (%, error logarithmic)"
    } else {
        "Validation top-1 (%)"
    };

    let mut rates: Vec<f64> = points().map(|point| point.p).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let p = padded(extent(rates.iter().copied()).unwrap_or((0.0, 1.0)), 0.04, 0.02, (-0.1, 1.0));
    let x = Scale::linear(p, (panel.left, panel.right));
    // The ticks are the rates in the sweep, unless they are too many or too close together to be read.
    let legible = rates
        .windows(2)
        .all(|pair| x.at(pair[1]) - x.at(pair[0]) > 10.0 + text_width(&short(pair[0])));
    let ticks = if legible {
        rates.iter().map(|&p| (p, short(p))).collect()
    } else {
        x.ticks(5).into_iter().filter(|(p, _)| *p >= 0.0).collect()
    };
    (Axis { scale: x, ticks, title: "dropout p" }, Axis { ticks: y.ticks(6), scale: y, title })
}

fn entries(lines: &[Line], beside: bool, tested: bool) -> Vec<(Sample, String)> {
    let coloured = lines.len().min(HIGHLIGHTED);
    let mut entries = Vec::new();
    if !beside {
        let series = lines[..coloured].iter().enumerate();
        entries.extend(series.map(|(rank, line)| (Sample::Series(rank), line.name.clone())));
    }
    if lines.len() > coloured {
        entries.push((Sample::Others, counted(lines.len() - coloured, "other line")));
    }
    if lines.iter().any(|line| line.points.iter().any(|point| point.top1.seeds > 1)) {
        entries.push((Sample::Band, "mean ± standard deviation".into()));
        entries.push((Sample::Seed, "one seed".into()));
    }
    if tested {
        entries.push((Sample::Test, "test, chosen setting".into()));
    }
    entries
}

fn drawn(line: &Line, rank: usize, at: &impl Fn(f64, f64) -> (f64, f64)) -> Markup {
    let ends = |end: fn((f64, f64)) -> f64| {
        line.points.iter().map(move |point| at(point.p, end(point.top1.band())))
    };
    let band = ends(|(_, high)| high).chain(ends(|(low, _)| low).rev());
    html! {
        g class=(class(rank)) {
            title { (line.name) }
            @if rank < HIGHLIGHTED {
                @if line.points.iter().any(|point| point.top1.sd.is_some()) {
                    path.band d={ (path(band)) "Z" } {}
                    // A band around a single point would have no width.
                    @if let [point] = &line.points[..] {
                        @let (low, high) = point.top1.band();
                        path.line d=(path([at(point.p, low), at(point.p, high)])) {}
                    }
                }
                @for (point, (seed, top1)) in line.points.iter().flat_map(|point| {
                    point.seeds.iter().filter(|_| point.top1.seeds > 1).map(move |seed| (point, seed))
                }) {
                    @let (x, y) = at(point.p, *top1);
                    circle.seed cx=(Px(x)) cy=(Px(y)) r="2.5" {
                        title { (line.name) ", p " (short(point.p)) ", seed " (seed) ": " (percent(*top1)) " %" }
                    }
                }
            }
            path.line d=(path(line.points.iter().map(|point| at(point.p, point.top1.mean)))) {}
            @if rank < HIGHLIGHTED || line.points.len() == 1 {
                @for point in &line.points {
                    @let (x, y) = at(point.p, point.top1.mean);
                    g {
                        title { (line.name) ", p " (short(point.p)) ": " (percent_with_spread(&point.top1)) " % (" (counted(point.top1.seeds, "seed")) ")" }
                        (mark(rank, x, y))
                    }
                }
            }
        }
    }
}

/// The test result: a diamond with its spread, and a label above the panel, clear of the lines.
fn tested(
    name: &str,
    top1: &MeanSd,
    (x, y): (f64, f64),
    scale: &Scale,
    (panel, form): (Panel, Form),
) -> Markup {
    let (low, high) = top1.band();
    let (low, high) = (scale.at(low * 100.0), scale.at(high * 100.0));
    let name = if form == Form::Wide { format!("{name}, ") } else { String::new() };
    let text = format!("{name}test: {} %", percent_with_spread(top1));
    let half = text_width(&text) / 2.0;
    let centre = x.min(form.width() - half - 4.0).max(half + 4.0);
    html! {
        g.test {
            title { (text) " (" (counted(top1.seeds, "seed")) ")" }
            line.guide x1=(Px(x)) x2=(Px(x)) y1=(Px(panel.top - 10.0)) y2=(Px(y)) {}
            @if top1.sd.is_some() {
                line x1=(Px(x)) x2=(Px(x)) y1=(Px(low)) y2=(Px(high)) {}
                line x1=(Px(x - 4.0)) x2=(Px(x + 4.0)) y1=(Px(low)) y2=(Px(low)) {}
                line x1=(Px(x - 4.0)) x2=(Px(x + 4.0)) y1=(Px(high)) y2=(Px(high)) {}
            }
            (diamond(x, y))
            text x=(Px(centre)) y=(Px(panel.top - 16.0)) text-anchor="middle" { (text) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{head, small_sweep};

    #[test]
    fn the_drawing_is_as_it_was() {
        let svg = accuracy_vs_dropout_svg(&small_sweep());
        let (_style, drawing) = svg.split_once("</style>").unwrap();
        insta::assert_snapshot!(drawing);
    }

    /// The number of lines through means, not counting their samples in the key.
    fn count_lines(svg: &str) -> usize {
        let key = svg.matches("h24\"").count();
        svg.matches("class=\"line\"").count() - key
    }

    #[test]
    fn one_line_an_architecture() {
        assert_eq!(count_lines(&accuracy_vs_dropout_svg(&small_sweep())), 2);
        let mut sweep = small_sweep();
        sweep.heads[0].result.learning_rate = 0.01;
        assert_eq!(count_lines(&accuracy_vs_dropout_svg(&sweep)), 3);
    }

    #[test]
    fn the_test_result_is_marked() {
        let svg = accuracy_vs_dropout_svg(&small_sweep());
        assert!(svg.contains("keras, p 0.6, test: 97.80 ± 0.14 %"), "{svg}");
        let sweep = Sweep { chosen: None, ..small_sweep() };
        assert!(!accuracy_vs_dropout_svg(&sweep).contains("class=\"test\""));
    }

    #[test]
    fn one_head_is_a_point_without_a_band() {
        let svg = accuracy_vs_dropout_svg(&Sweep {
            heads: vec![head("fastai", 0.6, 0, 0.97)],
            chosen: None,
        });
        assert_eq!(
            (svg.matches("class=\"mean\"").count(), svg.matches("\"band\"").count()),
            (2, 0)
        );
        assert!(svg.contains("97.00 % (1 seed)") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn one_bad_rate_does_not_hide_the_differences_between_the_others() {
        let mut sweep = small_sweep();
        sweep.heads.push(head("keras", 0.8, 0, 0.1));
        let svg = accuracy_vs_dropout_svg(&sweep);
        assert!(svg.contains("Validation top-1 (%, error logarithmic)"), "{svg}");
        assert!(svg.contains(">98</text>") && svg.contains(">50</text>"), "{svg}");
    }

    #[test]
    fn without_validation_it_says_so() {
        let mut sweep = small_sweep();
        for head in &mut sweep.heads {
            (head.result.val_loss, head.result.val_top1) = (None, None);
        }
        assert!(accuracy_vs_dropout_svg(&sweep).contains("No head has a validation result."));
        assert!(accuracy_vs_dropout_svg(&Sweep::default()).contains("No head has a validation"));
    }

    #[test]
    fn many_lines_are_gray_but_for_the_best() {
        let heads = |p: f64| {
            (0..12).map(move |arch| head(&format!("a{arch:02}"), p, 0, 0.8 + 0.01 * arch as f64))
        };
        let sweep = Sweep { heads: heads(0.2).chain(heads(0.6)).collect(), chosen: None };
        let svg = accuracy_vs_dropout_svg(&sweep);
        assert!(svg.contains("7 other lines") && svg.contains(">a11</text>"), "{svg}");
        assert!(!svg.contains(">a06</text>") && svg.contains("<title>a06</title>"), "{svg}");
    }

    #[test]
    fn names_are_escaped() {
        let svg = accuracy_vs_dropout_svg(&Sweep {
            heads: vec![head("<a & \"b\">", 0.6, 0, 0.97)],
            chosen: None,
        });
        assert!(svg.contains("&lt;a &amp; &quot;b&quot;&gt;") && !svg.contains("<a &"), "{svg}");
    }
}
