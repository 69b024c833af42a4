//! The page of training images that deserve a look, on which each can be marked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use crate::page::Frame;

const STYLE: &str = include_str!("issues.css");
const SCRIPT: &str = include_str!("issues.js");

/// The page's content.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IssuesReport {
    /// Title of the page.
    pub title: String,
    /// A name for the set of images, under which the browser remembers the marks.
    pub key: String,
    /// All classes, of which another label is one.
    pub class_names: Vec<String>,
    /// The corrections that the labels have already, by the sample's id: the name of the new class, `None` for a sample
    /// that is left out. They are marks from the beginning.
    pub corrections: Vec<(String, Option<String>)>,
    /// A sentence that says why images are not shown; `None` if they are.
    pub not_shown: Option<String>,
    /// The images, by kind.
    pub sections: Vec<IssueSection>,
    /// The classes that are confused.
    pub confused: Vec<Confused>,
    /// The program that made the page.
    pub program: String,
}

/// Images of one kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IssueSection {
    /// The kind.
    pub heading: String,
    /// A sentence about it.
    pub note: String,
    /// The images.
    pub images: Vec<MarkedImage>,
}

/// An image that can be marked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MarkedImage {
    /// The bytes of a PNG file; `None` if it cannot be shown.
    pub png: Option<Vec<u8>>,
    /// The sample's id.
    pub id: String,
    /// Name of its class.
    pub label: String,
    /// The class that it probably is of.
    pub suggested: String,
    /// The reason why it is here, in a few words.
    pub text: String,
    /// Another image to compare it with, as the bytes of a PNG file.
    pub beside: Option<Vec<u8>>,
}

/// Images of a class that probably are of another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Confused {
    /// The class that they are labelled with.
    pub label: String,
    /// The class that they probably are of.
    pub likely: String,
    /// The estimated number of images.
    pub images: usize,
}

/// The page as one HTML file. It needs neither network nor other files. Its only script keeps the marks and hands them
/// out as `corrections.csv`, with the columns id, action and label.
pub fn issues_html(report: &IssuesReport) -> String {
    let frame =
        Frame { title: &report.title, program: &report.program, style: STYLE, script: SCRIPT };
    frame.page(html! {
        header {
            h1 { (report.title) }
            p.summary {
                "Mark images, save corrections.csv, and train with --corrections=corrections.csv."
            }
            @if let Some(why) = &report.not_shown { p.note { (why) } }
        }
        datalist #classes { @for name in &report.class_names { option value=(name) {} } }
        main data-key=(report.key) data-corrections=(marks(&report.corrections)) {
            @for section in &report.sections {
                section {
                    h2 { (section.heading) }
                    p.note { (section.note) }
                    ul.mistakes.marks {
                        @for image in &section.images { li data-id=(image.id) { (card(image)) } }
                    }
                }
            }
            section {
                h2 { "Classes that are confused" }
                (confused(&report.confused))
            }
        }
        p.save {
            output #count { "No image is marked" }
            " "
            button #save type="button" { "Save corrections.csv" }
        }
    })
}

/// The corrections as JSON: a list of id, action and label.
fn marks(corrections: &[(String, Option<String>)]) -> String {
    let mark = |(id, label): &(String, Option<String>)| match label {
        Some(label) => serde_json::json!([id, "label", label]),
        None => serde_json::json!([id, "drop", ""]),
    };
    serde_json::Value::from_iter(corrections.iter().map(mark)).to_string()
}

fn card(image: &MarkedImage) -> Markup {
    let MarkedImage { png, id, label, suggested, text, beside } = image;
    let picture = |png: &Vec<u8>, alt: String| {
        html! {
            img src={ "data:image/png;base64," (STANDARD.encode(png)) } width="96" height="96" alt=(alt);
        }
    };
    html! {
        figure {
            div.pictures {
                @if let Some(png) = png { (picture(png, format!("Image {id}: labelled {label}, probably {suggested}"))) }
                @if let Some(png) = beside { (picture(png, format!("The image that {id} is like"))) }
            }
            figcaption {
                span.classes {
                    "label " b { (label) }
                    @if suggested != label { ", probably " b { (suggested) } }
                }
                span.probability { (text) }
                span.id { (id) }
            }
        }
        label.mark {
            "Mark "
            select.action {
                option value="" { "–" }
                option value="label" { "label wrong →" }
                option value="fine" { "fine" }
                option value="drop" { "drop" }
            }
        }
        label.mark.class hidden[true] {
            "Class "
            input.label list="classes" value=(if suggested == label { "" } else { suggested.as_str() }) autocomplete="off";
        }
    }
}

fn confused(pairs: &[Confused]) -> Markup {
    html! {
        @if pairs.is_empty() {
            p.note { "None." }
        } @else {
            div.scroll {
                table.results {
                    thead { tr { th { "Label" } th { "Probably" } th.number { "Images" } } }
                    tbody {
                        @for Confused { label, likely, images } in pairs {
                            tr { td { (label) } td { (likely) } td.number { (images) } }
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

    fn sample() -> IssuesReport {
        IssuesReport {
            title: "Images of <a> & b".into(),
            key: "k\"ey".into(),
            class_names: vec!["cat".into(), "<script>".into()],
            corrections: vec![("<b>".into(), Some("cat".into())), ("c".into(), None)],
            not_shown: Some("Some images are not shown: <gone>.".into()),
            sections: vec![IssueSection {
                heading: "Labels <wrong>".into(),
                note: "2 & 3".into(),
                images: vec![MarkedImage {
                    png: Some(vec![1, 2, 3]),
                    id: "a\"b<c>.png".into(),
                    label: "cat".into(),
                    suggested: "<script>".into(),
                    text: "0.5 %".into(),
                    beside: None,
                }],
            }],
            confused: vec![Confused { label: "cat".into(), likely: "<b>".into(), images: 7 }],
            program: "vgg-head".into(),
        }
    }

    #[test]
    fn all_texts_are_there_and_escaped() {
        let html = issues_html(&sample());
        for text in [
            "Images of &lt;a&gt; &amp; b",
            "data-key=\"k&quot;ey\"",
            "[[&quot;&lt;b&gt;&quot;,&quot;label&quot;,&quot;cat&quot;],[&quot;c&quot;,&quot;drop&quot;,&quot;&quot;]]",
            "<option value=\"&lt;script&gt;\">",
            "are not shown: &lt;gone&gt;.",
            "Labels &lt;wrong&gt;",
            "data-id=\"a&quot;b&lt;c&gt;.png\"",
            "AQID",
            "value=\"&lt;script&gt;\" autocomplete",
            "<td class=\"number\">7</td>",
        ] {
            assert!(html.contains(text), "{text} is not in the page");
        }
        assert_eq!(html.matches("<script").count(), 1);
        assert_eq!(html.matches("</script").count(), 1);
        assert!(!html.contains("http") && !html.contains("url("));
    }

    #[test]
    fn what_is_missing_is_said() {
        let html = issues_html(&IssuesReport { confused: Vec::new(), not_shown: None, ..sample() });
        assert!(html.contains("None.") && !html.contains("are not shown"));
    }
}
