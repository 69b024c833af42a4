//! The frame of a page: one HTML file that needs neither network nor other files.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::plot;

/// The style that all pages have.
const STYLE: &str = include_str!("page.css");

/// What a page has beside its content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Title of the page.
    pub(crate) title: &'a str,
    /// The program that made the page.
    pub(crate) program: &'a str,
    /// CSS of this page.
    pub(crate) style: &'static str,
    /// The only script.
    pub(crate) script: &'static str,
}

impl Frame<'_> {
    /// The page with this content, which begins with a header.
    pub(crate) fn page(self, content: Markup) -> String {
        let Frame { title, program, style, script } = self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content=(program);
                    // Without this line, browsers request an icon, and there is none beside a file.
                    link rel="icon" href="data:,";
                    title { (title) }
                    style { (plot::style()) (PreEscaped(STYLE)) (PreEscaped(style)) }
                }
                body {
                    (content)
                    footer { p { "Made by " (program) "." } }
                    script { (PreEscaped(script)) }
                }
            }
        };
        page.into_string()
    }
}
