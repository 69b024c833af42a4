//! The tables of results: one with a row per setting, one with a row per head, and one of baselines.

use maud::{Markup, html};
use plural::counted;

use crate::data::{BaselineResult, HeadResult, Hidden, Setting, Sweep, TrainedHead};
use crate::mean_sd::MeanSd;
use crate::numbers::{loss, loss_with_spread, percent, percent_with_spread, short};
use crate::ranking::Group;

/// The kind of a column, which determines its first sorting direction and its alignment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// A number that is better the higher it is.
    Score,
}

struct Column {
    title: &'static str,
    kind: Kind,
}

struct Cell {
    text: String,
    /// The number to sort by. Cells with `None` are last in both directions.
    key: Option<f64>,
}

const fn column(title: &'static str, kind: Kind) -> Column {
    Column { title, kind }
}

/// The first columns. Setting and metrics come first, so that a phone shows them without scrolling.
const HEAD: [Column; 2] = [column("Architecture", Kind::Text), column("Dropout p", Kind::Number)];

const METRICS: [Column; 4] = [
    column("Val top-1 (%)", Kind::Score),
    column("Val loss", Kind::Number),
    column("Train top-1 (%)", Kind::Score),
    column("Train loss", Kind::Number),
];

const REST: [Column; 2] = [column("Hidden", Kind::Number), column("Learning rate", Kind::Number)];

/// A column that is there only if the settings differ in it.
struct OptionColumn {
    column: Column,
    cell: fn(&Setting) -> Cell,
    differ: fn(&Setting, &Setting) -> bool,
}

const OPTIONS: [OptionColumn; 5] = [
    OptionColumn {
        column: column("Form", Kind::Text),
        cell: |setting| {
            let form = if setting.form.is_empty() { "default" } else { &setting.form };
            Cell { text: form.to_owned(), key: None }
        },
        differ: |a, b| a.form != b.form,
    },
    OptionColumn {
        column: column("Schedule", Kind::Text),
        cell: |setting| Cell { text: setting.schedule.clone(), key: None },
        differ: |a, b| a.schedule != b.schedule,
    },
    OptionColumn {
        column: column("Weight decay", Kind::Number),
        cell: |setting| number(setting.weight_decay, short(setting.weight_decay)),
        differ: |a, b| a.weight_decay != b.weight_decay,
    },
    OptionColumn {
        column: column("Label smoothing", Kind::Number),
        cell: |setting| number(setting.label_smoothing, short(setting.label_smoothing)),
        differ: |a, b| a.label_smoothing != b.label_smoothing,
    },
    OptionColumn {
        column: column("Mixup", Kind::Number),
        cell: |setting| number(setting.mixup, short(setting.mixup)),
        differ: |a, b| a.mixup != b.mixup,
    },
];

/// The columns of the options in which the settings differ.
fn options(sweep: &Sweep) -> Vec<&'static OptionColumn> {
    let settings: Vec<Setting> = sweep.heads.iter().map(|head| head.result.setting()).collect();
    let varies = |option: &&OptionColumn| {
        settings.windows(2).any(|pair| (option.differ)(&pair[0], &pair[1]))
    };
    OPTIONS.iter().filter(varies).collect()
}

/// The column by which the table is sorted.
const SORTED_BY: &str = METRICS[0].title;

/// The table with a row per setting, best first, and means over its seeds with standard deviations.
pub(crate) fn settings(sweep: &Sweep) -> Markup {
    let options = options(sweep);
    let columns = columns(&options).chain([&SEEDS]);
    let row = |group: &Group<'_, TrainedHead>| {
        let score = |metric: fn(&HeadResult) -> Option<f64>, text: fn(&MeanSd) -> String| {
            measured(group.over_seeds(metric), |value| value.mean, text)
        };
        let mut cells = head_cells(&group.setting);
        cells.extend([
            score(|head| head.val_top1, percent_with_spread),
            score(|head| head.val_loss, loss_with_spread),
            score(|head| Some(head.train_top1), percent_with_spread),
            score(|head| Some(head.train_loss), loss_with_spread),
        ]);
        cells.extend(rest_cells(&group.setting, &options));
        cells.push(number(group.heads.len() as f64, group.heads.len().to_string()));
        (sweep.is_chosen(&group.setting), cells)
    };
    let rows: Vec<_> = sweep.groups().iter().map(row).collect();
    let caption = format!("{}, best first", counted(rows.len(), "setting"));
    const SEEDS: Column = column("Seeds", Kind::Number);
    table(&caption, &columns.collect::<Vec<_>>(), &rows)
}

/// The table with a row per head, best first.
pub(crate) fn heads(sweep: &Sweep) -> Markup {
    const SEED: Column = column("Seed", Kind::Number);
    const EPOCHS: Column = column("Epochs", Kind::Number);
    const KEPT: Column = column("Kept epoch", Kind::Number);
    const RUN: Column = column("Run", Kind::Text);
    let options = options(sweep);
    let earlier = sweep.heads.iter().any(|head| head.result.kept_epoch() != head.result.epochs);
    let kept = earlier.then_some(&KEPT);
    let columns = columns(&options).chain([&SEED, &EPOCHS]).chain(kept).chain([&RUN]);
    let row = |head: &&HeadResult| {
        let setting = head.setting();
        let score = |metric: fn(&HeadResult) -> Option<f64>, text: fn(f64) -> String| {
            measured(metric(head), |value| *value, |value| text(*value))
        };
        let mut cells = head_cells(&setting);
        cells.extend([
            score(|head| head.val_top1, percent),
            score(|head| head.val_loss, loss),
            score(|head| Some(head.train_top1), percent),
            score(|head| Some(head.train_loss), loss),
        ]);
        cells.extend(rest_cells(&setting, &options));
        cells.extend([
            number(head.seed as f64, head.seed.to_string()),
            number(head.epochs as f64, head.epochs.to_string()),
        ]);
        let kept_epoch = head.kept_epoch();
        cells.extend(earlier.then(|| number(kept_epoch as f64, kept_epoch.to_string())));
        cells.push(Cell { text: head.run.clone(), key: None });
        (sweep.is_chosen(&setting), cells)
    };
    let rows: Vec<_> = sweep.ranked_heads().iter().map(row).collect();
    let caption = format!("{}, best first", counted(rows.len(), "head"));
    table(&caption, &columns.collect::<Vec<_>>(), &rows)
}

/// The table of baselines, best first.
pub(crate) fn baselines(baselines: &[BaselineResult]) -> Markup {
    const BASELINE: Column = column("Baseline", Kind::Text);
    let mut sorted: Vec<&BaselineResult> = baselines.iter().collect();
    sorted.sort_by(|a, b| b.val_top1.total_cmp(&a.val_top1));
    let row = |baseline: &&BaselineResult| {
        let name = Cell { text: baseline.name.clone(), key: None };
        (false, vec![name, number(baseline.val_top1, percent(baseline.val_top1))])
    };
    let rows: Vec<_> = sorted.iter().map(row).collect();
    let caption = format!("{}, best first", counted(rows.len(), "baseline"));
    table(&caption, &[&BASELINE, &METRICS[0]], &rows)
}

/// The columns that both tables have.
fn columns<'a>(options: &'a [&OptionColumn]) -> impl Iterator<Item = &'a Column> {
    let options = options.iter().map(|option| &option.column);
    HEAD.iter().chain(&METRICS).chain(&REST).chain(options)
}

fn head_cells(setting: &Setting) -> Vec<Cell> {
    vec![Cell { text: setting.arch.clone(), key: None }, number(setting.p, short(setting.p))]
}

fn rest_cells(setting: &Setting, options: &[&OptionColumn]) -> Vec<Cell> {
    let mut cells = vec![
        Cell { text: setting.hidden.to_string(), key: width(&setting.hidden) },
        number(setting.learning_rate, short(setting.learning_rate)),
    ];
    cells.extend(options.iter().map(|option| (option.cell)(setting)));
    cells
}

/// The width of the layers, if there is one of all.
fn width(hidden: &Hidden) -> Option<f64> {
    match hidden {
        Hidden::Two(width) => Some(*width as f64),
        Hidden::Layers(_) => None,
    }
}

fn number(key: f64, text: String) -> Cell {
    Cell { text, key: Some(key) }
}

fn measured<T>(value: Option<T>, key: impl Fn(&T) -> f64, text: impl Fn(&T) -> String) -> Cell {
    match value {
        Some(value) => number(key(&value), text(&value)),
        None => Cell { text: "–".into(), key: None },
    }
}

/// A table in a container with its own scroll bar. A row whose flag is set is marked as the chosen
/// setting's. The page's script sorts the table when a column heading is clicked.
fn table(caption: &str, columns: &[&Column], rows: &[(bool, Vec<Cell>)]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.results {
                caption { span { (caption) } }
                thead {
                    tr {
                        @for column in columns {
                            @let sorted = column.title == SORTED_BY;
                            th scope="col" class=[(column.kind != Kind::Text).then_some("number")]
                                aria-sort=(if sorted { "descending" } else { "none" })
                                data-kind=(if column.kind == Kind::Text { "text" } else { "number" })
                                data-first=(if column.kind == Kind::Score { "descending" } else { "ascending" }) {
                                button type="button" { (column.title) }
                            }
                        }
                    }
                }
                tbody {
                    @for (chosen, cells) in rows {
                        tr.chosen[*chosen] {
                            @for (index, (cell, column)) in cells.iter().zip(columns).enumerate() {
                                @let key = cell.key.filter(|key| !key.is_nan());
                                td class=[(column.kind != Kind::Text).then_some("number")] data-key=[key] {
                                    (cell.text)
                                    @if index == 0 && *chosen { "\u{a0}" span.badge { "chosen" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{head, small_sweep};

    #[test]
    fn every_number_is_in_the_table_of_heads() {
        let mut sweep = small_sweep();
        let head = &mut sweep.heads[1].result;
        *head = HeadResult {
            seed: 4711,
            hidden: 777.into(),
            learning_rate: 0.0125,
            p: 0.35,
            train_loss: 0.12345,
            train_top1: 0.87654,
            val_loss: Some(0.23456),
            val_top1: Some(0.76543),
            ..head.clone()
        };
        let html = heads(&sweep).into_string();
        for text in
            ["4711", "777", "0.0125", "0.35", "0.1235", "87.65", "0.2346", "76.54", "fastai-0.2"]
        {
            let cells = html.matches(&format!(">{text}</td>")).count();
            assert!(cells >= 1, "{text} is not in {html}");
        }
        assert_eq!(html.matches("<tr").count(), 1 + sweep.heads.len());
    }

    #[test]
    fn the_table_of_settings_has_means_and_marks_the_chosen_one() {
        let html = settings(&small_sweep()).into_string();
        assert_eq!(html.matches("<tr").count(), 1 + 4);
        assert!(html.contains("98.10 ± 0.14") && html.contains("97.20 ± 0.28"), "{html}");
        assert_eq!(html.matches("chosen</span>").count(), 1);
        let first = html.find("<tr class=\"chosen\">").unwrap();
        assert!(html[..first].matches("<tr").count() == 1, "the best is not first");
    }

    #[test]
    fn one_seed_has_no_spread_and_a_missing_number_no_key() {
        let mut head = head("fastai", 0.6, 0, 0.97);
        head.result.val_loss = None;
        let html = settings(&Sweep { heads: vec![head], chosen: None }).into_string();
        assert!(html.contains(">97.00</td>") && !html.contains('±'), "{html}");
        assert!(html.contains("<td class=\"number\">–</td>"), "{html}");
    }

    #[test]
    fn an_option_has_a_column_if_settings_differ_in_it() {
        let mut sweep = small_sweep();
        let names = ["Schedule", "Weight decay", "Label smoothing", "Mixup"];
        let both = |sweep: &Sweep| [heads(sweep), settings(sweep)].map(Markup::into_string);
        for html in both(&sweep) {
            assert!(names.iter().all(|name| !html.contains(name)), "{html}");
        }
        sweep.heads[1].result.schedule = "onecycle".into();
        sweep.heads[2].result.weight_decay = 0.125;
        sweep.heads[3].result.label_smoothing = 0.375;
        sweep.heads[0].result.mixup = 0.625;
        for html in both(&sweep) {
            for (column, cell) in names.into_iter().zip(["onecycle", "0.125", "0.375", "0.625"]) {
                assert!(html.contains(&format!(">{column}</button>")), "{html}");
                assert_eq!(html.matches(&format!(">{cell}</td>")).count(), 1, "{html}");
            }
        }
    }

    #[test]
    fn the_kept_epoch_has_a_column_if_it_is_not_always_the_last() {
        let mut sweep = small_sweep();
        assert!(!heads(&sweep).into_string().contains("Kept epoch"));
        sweep.heads[1].result.kept_epoch = Some(2);
        let html = heads(&sweep).into_string();
        assert!(html.contains(">Kept epoch</button>") && html.contains(">2</td>"), "{html}");
    }

    #[test]
    fn names_are_escaped() {
        let mut head = head("<b>\"fast\" & ai", 0.6, 0, 0.97);
        head.result.run = "</td><script>&".into();
        let html = heads(&Sweep { heads: vec![head], chosen: None }).into_string();
        assert!(html.contains("&lt;/td&gt;&lt;script&gt;&amp;"), "{html}");
        assert!(html.contains("&lt;b&gt;&quot;fast&quot; &amp; ai"), "{html}");
    }
}
