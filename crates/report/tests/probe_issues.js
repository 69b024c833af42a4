// This script is appended to a copy of the page of issues. It marks images as a reader would and writes its
// observations as JSON into the body's data-seen.
const seen = {};
const card = (index) => document.querySelectorAll(".marks li")[index];
const mark = (index, value) => {
  const action = card(index).querySelector(".action");
  action.value = value;
  action.dispatchEvent(new Event("change"));
};
const choose = (index, value) => {
  const label = card(index).querySelector("input.label");
  label.value = value;
  label.dispatchEvent(new Event("input"));
};
const state = () => ({
  count: document.getElementById("count").textContent,
  disabled: document.getElementById("save").disabled,
  classes: [...document.querySelectorAll(".mark.class")].map((label) => !label.hidden),
});
seen.before = state();
mark(0, "label");
mark(1, "drop");
mark(2, "fine");
seen.marked = state();
// The suggested class is there already; the third image is the first one again.
seen.csv = table();
choose(0, "no such class");
seen.unknown = state();
choose(0, document.getElementById("classes").options[0].value);
seen.again = card(3).querySelector(".action").value;
mark(2, "");
seen.second = table();
let saved = null;
URL.createObjectURL = (blob) => {
  saved = blob;
  return "data:,";
};
document.addEventListener("click", (event) => event.preventDefault());
document.getElementById("save").click();
seen.saved = saved.size;
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
seen.scripts = document.scripts.length;
document.body.dataset.seen = JSON.stringify(seen);
