"use strict";
// Keeps the mark of each image, by its id, and hands the marks out as a file. An image that is there several times
// has one mark. The browser remembers the marks if it may.
const storage = `corrections ${document.body.dataset.key}`;
const classes = new Set([...document.getElementById("classes").options].map((option) => option.value));
const cards = [...document.querySelectorAll(".marks li")];
const marks = new Map();

function remember() {
  try {
    localStorage.setItem(storage, JSON.stringify([...marks]));
  } catch {
    // The browser does not store data of files. Then the marks last as long as the page is open.
  }
}

function complete({ action, label }) {
  return action !== "label" || classes.has(label);
}

// Shows the marks on all cards.
function show() {
  for (const card of cards) {
    const mark = marks.get(card.dataset.id);
    const [action, label] = [card.querySelector(".action"), card.querySelector(".label")];
    action.value = mark?.action ?? "";
    if (mark?.action === "label") label.value = mark.label;
    label.closest("label").hidden = mark?.action !== "label";
    label.setCustomValidity(mark && !complete(mark) ? "Choose one of the classes." : "");
    if (mark) card.dataset.action = mark.action;
    else delete card.dataset.action;
  }
  const missing = [...marks.values()].filter((mark) => !complete(mark)).length;
  const said = marks.size === 0 ? "No image is marked" : `Marked images: ${marks.size}`;
  document.getElementById("count").textContent = missing === 0 ? said : `${said}; without a class: ${missing}`;
  document.getElementById("save").disabled = marks.size === 0 || missing > 0;
}

// The text of the file: fields with separators or quotes are quoted.
function corrections() {
  const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const rows = [...marks].map(([id, { action, label }]) => [id, action, action === "label" ? label : ""]);
  return [["id", "action", "label"], ...rows].map((row) => `${row.map(field).join(",")}\n`).join("");
}

for (const card of cards) {
  const [action, label] = [card.querySelector(".action"), card.querySelector(".label")];
  const changed = () => {
    if (action.value === "") marks.delete(card.dataset.id);
    else marks.set(card.dataset.id, { action: action.value, label: label.value });
    remember();
    show();
  };
  action.addEventListener("change", changed);
  label.addEventListener("input", changed);
}

document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([corrections()], { type: "text/csv" }));
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
