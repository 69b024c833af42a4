// This script is appended to a copy of the page. It uses the page as a reader would and writes its
// observations as JSON into the body's data-seen. In a frame it posts them to the page around it.
const seen = {};
const root = document.documentElement;
const tables = [...document.querySelectorAll("table.results")];
const heads = tables[0].tHead.rows[0].cells;
const column = (title) => [...heads].findIndex((head) => head.textContent === title);
const cells = (title) => [...tables[0].tBodies[0].rows].map((row) => row.cells[column(title)].textContent.trim());
const button = (title) => heads[column(title)].querySelector("button");
const sorted = () => [...heads].map((head) => head.ariaSort).filter((sort) => sort !== "none");

for (const details of document.querySelectorAll("details")) details.open = true;
seen.tables = tables.length;
seen.first = { top1: cells("Val top-1 (%)"), sorted: sorted() };
button("Val top-1 (%)").click();
seen.ascending = { top1: cells("Val top-1 (%)"), sorted: sorted() };
button("Dropout p").click();
seen.by_p = { p: cells("Dropout p"), sorted: sorted() };
button("Dropout p").click();
seen.by_p_descending = { p: cells("Dropout p"), sorted: sorted() };
button("Architecture").click();
seen.by_arch = { arch: cells("Architecture"), sorted: sorted() };
seen.focusable = [...document.querySelectorAll("th button")].every((button) => {
  button.focus();
  return document.activeElement === button && button.tabIndex === 0;
});
seen.images = [...document.images].map((image) => image.complete && image.naturalWidth);
seen.alts = [...document.images].map((image) => image.alt);
seen.width = root.clientWidth;
seen.overflow = root.scrollWidth - root.clientWidth;
seen.plots = [...document.querySelectorAll(".plot")]
  .filter((plot) => plot.getBoundingClientRect().width > 0)
  .map((plot) => plot.getAttribute("class"));
// Texts that extend beyond their plot and would be cut off.
seen.cut_texts = [...document.querySelectorAll(".plot text")]
  .filter((text) => {
    const [of, plot] = [text.getBoundingClientRect(), text.closest("svg").getBoundingClientRect()];
    return of.right > plot.right + 1 || of.left < plot.left - 1;
  })
  .map((text) => text.textContent);
seen.paper = getComputedStyle(document.body).backgroundColor;
seen.ink = getComputedStyle(document.querySelector(".plot text")).fill;
seen.scripts = document.scripts.length;
const text = JSON.stringify(seen);
document.body.dataset.seen = text;
if (parent !== window) parent.postMessage(text, "*");
