"use strict";
// Keeps the mark of each image, by its id, and hands the marks out as a file. An image that is there several times
// has one mark. The corrections that the labels have already are marks from the beginning. The browser remembers the
// marks if it may; a mark that was taken away is remembered as an empty one.
const { key, corrections } = document.querySelector("main").dataset;
const storage = `corrections ${key}`;
const classes = new Set([...document.getElementById("classes").options].map((option) => option.value));
const cards = [...document.querySelectorAll(".marks li")];
const corrected = new Map(JSON.parse(corrections).map(([id, action, label]) => [id, { action, label }]));
const marks = new Map(corrected);

function complete({ action, label }) {
  return action !== "label" || classes.has(label);
}

function remember() {
  try {
    localStorage.setItem(storage, JSON.stringify([...marks].filter(([, mark]) => complete(mark))));
  } catch {
    // The browser does not store data of files. Then the marks last as long as the page is open.
  }
}

// The marks that are not empty. "Fine" means the label that the page shows, which may be a corrected one.
function marked() {
  return [...marks]
    .filter(([, { action }]) => action !== "")
    .map(([id, mark]) => {
      const before = corrected.get(id);
      return [id, mark.action === "fine" && before?.action === "label" ? before : mark];
    });
}

// Shows the marks on all cards.
function show() {
  for (const card of cards) {
    const mark = marks.get(card.dataset.id) ?? { action: "" };
    const [action, label] = [card.querySelector(".action"), card.querySelector(".label")];
    action.value = mark.action;
    if (mark.action === "label") label.value = mark.label;
    label.closest("label").hidden = mark.action !== "label";
    label.setCustomValidity(complete(mark) ? "" : "Choose one of the classes.");
    if (mark.action !== "") card.dataset.action = mark.action;
    else delete card.dataset.action;
  }
  const all = marked();
  const missing = all.filter(([, mark]) => !complete(mark)).length;
  const said = all.length === 0 ? "No image is marked" : `Marked images: ${all.length}`;
  document.getElementById("count").textContent = missing === 0 ? said : `${said}; without a class: ${missing}`;
  document.getElementById("save").disabled = all.length === 0 || missing > 0;
}

// The text of the file: fields with separators or quotes are quoted.
function table() {
  const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = marked().map(([id, { action, label }]) => [id, action, action === "label" ? label : ""]);
  return [["id", "action", "label"], ...rows].map((row) => `${row.map(field).join(",")}\n`).join("");
}

for (const card of cards) {
  const [action, label] = [card.querySelector(".action"), card.querySelector(".label")];
  const changed = () => {
    marks.set(card.dataset.id, { action: action.value, label: label.value });
    remember();
    show();
  };
  action.addEventListener("change", changed);
  label.addEventListener("input", changed);
}

document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = "corrections.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});

try {
  for (const [id, mark] of JSON.parse(localStorage.getItem(storage) ?? "[]")) marks.set(id, mark);
} catch {
  // Nothing is remembered.
}
show();
