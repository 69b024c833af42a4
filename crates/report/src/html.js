"use strict";
// Sorts a table by the column whose heading was clicked. Numbers are sorted by data-key; cells without
// one are last.
for (const button of document.querySelectorAll(".results th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const heads = [...head.parentElement.children];
    const column = heads.indexOf(head);
    const opposite = { ascending: "descending", descending: "ascending" };
    const direction = opposite[head.ariaSort] ?? head.dataset.first;
    for (const other of heads) other.ariaSort = other === head ? direction : "none";
    const sign = direction === "ascending" ? 1 : -1;
    const numeric = head.dataset.kind === "number";
    const key = (row) => {
      const cell = row.cells[column];
      if (!numeric) return cell.firstChild?.textContent.trim() ?? "";
      return cell.dataset.key === undefined ? null : Number(cell.dataset.key);
    };
    const text = new Intl.Collator(undefined, { numeric: true });
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, key: key(row) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null);
      return sign * (numeric ? a.key - b.key : text.compare(a.key, b.key));
    });
    body.append(...rows.map(({ row }) => row));
  });
}
// Details are opened for printing.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of folded) details.open = false;
});
