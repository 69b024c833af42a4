//! The HTML page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};
use plural::counted;

use crate::data::{Chosen, Misclassified, Report, Sweep, Thumbnail};
use crate::naming::Naming;
use crate::numbers::{percent, percent_with_spread};
use crate::page::Frame;
use crate::plot::Form;
use crate::{accuracy, confusion, curves, results};

const SCRIPT: &str = include_str!("html.js");

/// The whole report as one HTML file. It needs neither network nor other files. Its only script sorts its
/// tables.
pub fn report_html(report: &Report) -> String {
    let sweep = &report.sweep;
    let several_seeds = sweep.groups().iter().any(|group| group.heads.len() > 1);
    let frame = Frame { title: &report.title, program: &report.program, style: "", script: SCRIPT };
    frame.page(html! {
        header {
            h1 { (report.title) }
            p.summary { (summary(sweep)) }
            @if let Some(chosen) = &sweep.chosen { (figures(sweep, chosen)) }
            @if let Some(trained_on) = &report.trained_on {
                p.trained { "Trained on: " (trained_on) "." }
            }
            h2.small { "Command" }
            pre.command tabindex="0" { code { (report.command) } }
        }
        main {
            section {
                h2 { "Accuracy against dropout" }
                (figure(|form| accuracy::inline(sweep, form)))
            }
            section {
                h2 { "Results" }
                @if several_seeds {
                    (results::settings(sweep))
                    details {
                        summary { "All heads (" (sweep.heads.len()) ")" }
                        (results::heads(sweep))
                    }
                } @else {
                    (results::heads(sweep))
                }
                @if !report.baselines.is_empty() { (results::baselines(&report.baselines)) }
            }
            section {
                @let curves = sweep.curves();
                h2 { "Learning curves" }
                (figure(|form| curves::inline(&curves, form)))
            }
            @if let Some(confusion) = &report.confusion {
                section {
                    h2 { "Confusion matrix" }
                    (confusion::matrix(confusion))
                }
            }
            section {
                h2 { "Most confident mistakes" }
                (mistakes(&report.misclassified))
            }
            section {
                h2 { "Features" }
                details {
                    summary { "The feature cache's manifest" }
                    pre.manifest tabindex="0" { code { (report.manifest_json) } }
                }
            }
        }
    })
}

/// The outcome in one or two sentences.
fn summary(sweep: &Sweep) -> String {
    let heads = counted(sweep.heads.len(), "head");
    let settings = counted(sweep.groups().len(), "setting");
    let Some(chosen) = &sweep.chosen else {
        return format!("{heads} of {settings}; no setting was chosen.");
    };
    let name = Naming::of(sweep).full(&chosen.setting);
    let seeds = counted(chosen.val.seeds, "seed");
    let validation = percent_with_spread(&chosen.val);
    let test = match &chosen.test {
        Some(top1) => format!(
            "On the test split, which was used only after that choice, its top-1 is {} %.",
            percent_with_spread(top1)
        ),
        None => "There is no test result.".into(),
    };
    format!(
        "Of {settings} ({heads}), {name} was chosen by its validation top-1 of {validation} % \
         ({seeds}). {test}"
    )
}

fn figures(sweep: &Sweep, chosen: &Chosen) -> Markup {
    html! {
        dl.figures {
            div { dt { "Chosen setting" } dd { (Naming::of(sweep).full(&chosen.setting)) } }
            div { dt { "Validation top-1" } dd { (percent_with_spread(&chosen.val)) " %" } }
            @if let Some(top1) = &chosen.test {
                div { dt { "Test top-1" } dd { (percent_with_spread(top1)) " %" } }
            }
            @if let Some(top1) = chosen.ensemble {
                div { dt { "Test top-1, seeds together" } dd { (percent(top1)) " %" } }
            }
        }
    }
}

/// Two plots, for wide and for narrow screens. The style shows one of them.
fn figure(draw: impl Fn(Form) -> Markup) -> Markup {
    html! { figure.drawing { (draw(Form::Wide)) (draw(Form::Narrow)) } }
}

fn mistakes(misclassified: &Misclassified) -> Markup {
    match misclassified {
        Misclassified::NotShown(why) => html! { p.note { (why) } },
        Misclassified::Images(thumbnails) if thumbnails.is_empty() => {
            html! { p.note { "No image was misclassified." } }
        }
        Misclassified::Images(thumbnails) => html! {
            ul.mistakes { @for thumbnail in thumbnails { li { (mistake(thumbnail)) } } }
        },
    }
}

fn mistake(thumbnail: &Thumbnail) -> Markup {
    let Thumbnail { png, id, label, predicted, probability } = thumbnail;
    let probability = percent(*probability);
    html! {
        figure {
            img src={ "data:image/png;base64," (STANDARD.encode(png)) } width="96" height="96"
                alt={ "Image " (id) ": labelled " (label) ", predicted " (predicted) " with probability " (probability) " %" };
            figcaption {
                span.classes { b { (label) } " taken for " b { (predicted) } }
                span.probability { (probability) " %" }
                span.id { (id) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::{head, small_sweep};
    use crate::data::{BaselineResult, Confusion};
    use crate::thumbnail::encode_png;

    fn report() -> Report {
        Report {
            title: "Sweep <1> & \"more\"".into(),
            command: "vgg-head sweep --p=0.2,0.6 --out='a & b'".into(),
            sweep: small_sweep(),
            baselines: vec![BaselineResult { name: "knn <k> 5".into(), val_top1: 0.87654 }],
            trained_on: Some("each image & 5 distorted copies of it".into()),
            confusion: Some(Confusion {
                class_names: vec!["0".into(), "<1>".into()],
                counts: vec![vec![9, 1], vec![0, 10]],
                of: "the best head".into(),
            }),
            misclassified: Misclassified::Images(vec![Thumbnail {
                png: encode_png(2, 2, 1, &[0, 80, 160, 240]).unwrap(),
                id: "a\"b<c>.png".into(),
                label: "<0>".into(),
                predicted: "1 & 2".into(),
                probability: 0.98765,
            }]),
            manifest_json: "{\n  \"classes\": [\"</pre><script>\"]\n}".into(),
            program: "vgg-head <0.1>".into(),
        }
    }

    #[test]
    fn all_texts_are_there_and_escaped() {
        let html = report_html(&report());
        for text in [
            "Sweep &lt;1&gt; &amp; &quot;more&quot;",
            "--out='a &amp; b'",
            "Of 4 settings (8 heads), keras, p 0.6 was chosen by its validation top-1 of 98.10 ± 0.14 % (2 seeds).",
            "its top-1 is 97.80 ± 0.14 %",
            "a&quot;b&lt;c&gt;.png",
            "&lt;0&gt;",
            "1 &amp; 2",
            "Trained on: each image &amp; 5 distorted copies of it.",
            "98.77 %",
            "1 baseline, best first",
            "knn &lt;k&gt; 5</td><td class=\"number\" data-key=\"0.87654\">87.65</td>",
            "&lt;/pre&gt;&lt;script&gt;",
            "vgg-head &lt;0.1&gt;",
        ] {
            assert!(html.contains(text), "{text} is not in the page");
        }
        assert_eq!(html.matches("<script").count(), 1);
        assert_eq!(html.matches("</script").count(), 1);
    }

    #[test]
    fn nothing_is_fetched() {
        let html = report_html(&report());
        let namespace = html.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(html.matches("http").count(), namespace, "an address is in the page");
        assert!(!html.contains("@import") && !html.contains("url("));
    }

    #[test]
    fn what_is_missing_is_said() {
        let report = Report {
            sweep: Sweep { chosen: None, ..small_sweep() },
            baselines: Vec::new(),
            confusion: None,
            misclassified: Misclassified::NotShown("The dataset <is gone>.".into()),
            ..report()
        };
        let html = report_html(&report);
        assert!(html.contains("8 heads of 4 settings; no setting was chosen."));
        assert!(!html.contains("baseline"));
        assert!(html.contains("The dataset &lt;is gone&gt;."));
        let report = Report { misclassified: Misclassified::Images(vec![]), ..report };
        assert!(report_html(&report).contains("No image was misclassified."));
    }

    #[test]
    fn a_single_head_has_one_table() {
        let tables = |sweep, baselines| {
            let html = report_html(&Report { sweep, baselines, ..report() });
            html.matches("<table class=\"results\"").count()
        };
        let one = Sweep { heads: vec![head("fastai", 0.6, 0, 0.97)], chosen: None };
        assert_eq!(tables(one, Vec::new()), 1);
        assert_eq!(tables(report().sweep, Vec::new()), 2);
        assert_eq!(tables(report().sweep, report().baselines), 3);
        let html = report_html(&Report { sweep: Sweep::default(), ..report() });
        assert!(html.contains("0 heads of 0 settings"));
    }
}
