//! The confusion matrix as a table shaded like a heat map.

use maud::{Markup, html};

use crate::data::Confusion;

/// The shade above which a cell's text has the colour of the background.
const STRONG: f64 = 0.55;

/// The matrix as a table, with a row per label and a column per predicted class. A cell's shade shows its
/// share of the label's rows. On the diagonal it is proportional to the share. For mistakes it has another
/// colour and is proportional to the square root, so that the few mistakes of a good head are visible.
pub(crate) fn matrix(confusion: &Confusion) -> Markup {
    let names = &confusion.class_names;
    let vertical = names.iter().any(|name| name.chars().count() > 3);
    html! {
        div.scroll tabindex="0" role="region" aria-label="Confusion matrix" {
            table.confusion.dense[names.len() > 30].vertical[vertical] {
                caption { span { "Confusion matrix of " (confusion.of) } }
                thead {
                    tr {
                        td.corner { "label ↓" br; "predicted →" }
                        @for name in names { th scope="col" { span { (name) } } }
                        th.recall scope="col" { "right" }
                    }
                }
                tbody {
                    @for (label, counts) in confusion.counts.iter().enumerate() {
                        @let rows: usize = counts.iter().sum();
                        tr {
                            th scope="row" { (names.get(label).map_or("", String::as_str)) }
                            @for (predicted, &count) in counts.iter().enumerate() {
                                (cell(count, rows, label == predicted))
                            }
                            td.recall { (recall(counts.get(label).copied().unwrap_or(0), rows)) }
                        }
                    }
                }
            }
        }
    }
}

fn cell(count: usize, rows: usize, right: bool) -> Markup {
    if count == 0 {
        return html! { td.zero { "0" } };
    }
    let share = count as f64 / rows as f64;
    let shade = if right { share * 0.85 } else { (share.sqrt() * 1.2).clamp(0.1, 0.85) };
    let colour = if right { "right" } else { "wrong" };
    html! {
        td.strong[shade > STRONG] style={ "background:rgb(var(--" (colour) ")/" (format!("{shade:.2}")) ")" } {
            (count)
        }
    }
}

fn recall(right: usize, rows: usize) -> String {
    if rows == 0 { "–".into() } else { format!("{:.1} %", 100.0 * right as f64 / rows as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_shares_and_names_are_there() {
        let html = matrix(&Confusion {
            class_names: vec!["cat".into(), "<dog> & \"co\"".into()],
            counts: vec![vec![90, 10], vec![0, 0]],
            of: "a run on <test>".into(),
        })
        .into_string();
        assert!(html.contains("&lt;dog&gt; &amp; &quot;co&quot;") && !html.contains("<dog>"));
        assert!(html.contains("a run on &lt;test&gt;"), "{html}");
        assert!(html.contains(">90</td>") && html.contains(">10</td>"), "{html}");
        assert!(html.contains("90.0 %") && html.contains("–</td>"), "{html}");
    }

    #[test]
    fn a_hundred_classes_fit() {
        let counts = (0..100).map(|label| {
            (0..100)
                .map(|predicted| if label == predicted { 95 } else { (label + predicted) % 2 })
                .collect()
        });
        let html = matrix(&Confusion {
            class_names: (0..100).map(|class| format!("class {class}")).collect(),
            counts: counts.collect(),
            of: "a run".into(),
        })
        .into_string();
        assert_eq!(html.matches("<tr>").count(), 101);
        assert!(html.contains("confusion dense vertical"), "a hundred columns are set small");
        assert!(html.len() < 1_000_000, "{} bytes", html.len());
    }
}
