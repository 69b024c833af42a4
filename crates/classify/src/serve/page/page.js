// The page: drawing, images, and the test set. It talks to the server that it came from and to nobody else.

const byId = (id) => document.getElementById(id);

/** Makes an element with properties and children. */
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

// With spaces at which lines do not break.
const percent = (probability) => `${(100 * probability).toFixed(probability < 0.9995 ? 1 : 0)}\u00a0%`;

/** Sends a request; returns the response, or throws what the server says is wrong. */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  if (!response.ok) {
    const text = await response.text();
    let said = text;
    try { said = JSON.parse(text).error; } catch { /* It is not one of the server's own messages. */ }
    throw new Error(said || `the server answered ${response.status}`);
  }
  return response;
}

/** The picture of why the model sees `what` as a class: the address of a PNG in the page's memory. */
async function heatMap(where, body, type) {
  const headers = type ? { "content-type": type } : {};
  const response = await ask(`heatmap?${new URLSearchParams(where)}`, { method: "POST", headers, body });
  return URL.createObjectURL(await response.blob());
}

// ---- Bars

/** A bar of a class, which is a button that asks why. */
function bar(name, why) {
  const fill = element("span", { className: "fill" });
  const share = element("span", { className: "share" });
  const button = element("button", { className: "bar", type: "button" },
    element("span", { className: "name", textContent: name, title: name }),
    element("span", { className: "track" }, fill), share);
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", why);
  const show = (probability) => {
    fill.style.width = `${100 * probability}%`;
    share.textContent = percent(probability);
    button.setAttribute("aria-label", `${name}: ${percent(probability)}. Show why`);
  };
  show(0);
  return { button, show };
}

function press(pressed, all) {
  for (const button of all) button.setAttribute("aria-pressed", String(button === pressed));
}

// ---- Tabs

const tabs = [...document.querySelectorAll("[role=tab]")];

function select(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (tab.id === "tab-test") showTestSet();
  if (tab.id === "tab-draw") redraw();
}

for (const [index, tab] of tabs.entries()) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
}

// ---- Draw

/** Side of the canvas in the unit of the strokes. */
const SIDE = 280;
/** A point is kept if the pen has moved so far. */
const STEP = 2;
/** The server takes no more. */
const MAX_POINTS = 8000;
/** Bars are shown of so many classes; of more, those that are most probable. */
const MAX_BARS = 12;

const canvas = byId("canvas");
const model = await (await ask("model")).json();
const state = {
  strokes: [],
  pointers: new Map(),
  /** The pen of the keyboard. */
  pen: { x: SIDE / 2, y: SIDE / 2, down: false, shown: false },
  /** Whether a drawing is being classified, and whether it has changed since. */
  busy: false,
  changed: false,
  /** When the newest point was drawn. */
  since: 0,
  /** The class whose heat map is shown. */
  why: null,
};
let bars = [];

byId("model").textContent = `${model.name} · ${model.classes.length} classes · ${model.height}\u00a0×\u00a0${model.width}\u00a0px`
  + (model.heads > 1 ? ` · mean of ${model.heads} heads` : "");

/** Makes the bars of these classes. */
function makeBars(classes) {
  bars = classes.map((index) => {
    const made = bar(model.classes[index], () => explainDrawing(index, made.button));
    return { index, ...made };
  });
  byId("bars").replaceChildren(...bars.map((it) => it.button));
}
makeBars([...model.classes.keys()].slice(0, MAX_BARS));

/** The page's colours, which the browser is asked for only when they change: a stroke has many points. */
let colours;

function readColours() {
  const style = getComputedStyle(document.documentElement);
  colours = { ink: style.getPropertyValue("--ink"), accent: style.getPropertyValue("--accent") };
}
readColours();

function redraw() {
  const pixels = Math.round(canvas.clientWidth * devicePixelRatio);
  if (!pixels) return;
  if (canvas.width !== pixels) canvas.width = canvas.height = pixels;
  const context = canvas.getContext("2d");
  context.setTransform(pixels / SIDE, 0, 0, pixels / SIDE, 0, 0);
  context.clearRect(0, 0, SIDE, SIDE);
  context.strokeStyle = colours.ink;
  context.lineWidth = SIDE / 14;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of state.strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    // A point is a line of no length, which has round ends.
    for (const point of stroke.length > 1 ? stroke.slice(1) : stroke) context.lineTo(...point);
    context.stroke();
  }
  if (state.pen.shown) {
    context.beginPath();
    context.arc(state.pen.x, state.pen.y, SIDE / 28, 0, 2 * Math.PI);
    context.lineWidth = 2;
    context.strokeStyle = colours.accent;
    context.stroke();
  }
  byId("hint").hidden = state.strokes.length > 0 || state.pen.shown;
  byId("undo").disabled = byId("clear").disabled = state.strokes.length === 0;
}

/** Adds a point to a stroke, if the pen has moved. */
function extend(stroke, x, y) {
  const clamp = (value) => Math.min(SIDE, Math.max(0, value));
  const point = [clamp(x), clamp(y)].map((value) => Math.round(value * 10) / 10);
  const last = stroke.at(-1);
  const moved = !last || Math.hypot(point[0] - last[0], point[1] - last[1]) >= STEP;
  const points = state.strokes.reduce((sum, it) => sum + it.length, 0);
  if (!moved || points >= MAX_POINTS) return false;
  stroke.push(point);
  return true;
}

function drawingChanged(since = performance.now()) {
  state.since = since;
  state.changed = true;
  byId("bars").setAttribute("aria-busy", "true");
  redraw();
  readDrawing();
}

/** Classifies the drawing as it is now. While an answer is awaited, only the newest drawing waits. */
async function readDrawing() {
  if (state.busy) return;
  state.busy = true;
  while (state.changed) {
    state.changed = false;
    const since = state.since;
    if (state.strokes.length === 0) {
      showNothing();
      continue;
    }
    try {
      const body = JSON.stringify({ strokes: state.strokes });
      const headers = { "content-type": "application/json" };
      const result = await (await ask("classify", { method: "POST", headers, body })).json();
      if (state.strokes.length > 0) showReading(result, since);
    } catch (error) {
      byId("verdict").textContent = error.message;
      await new Promise((resume) => setTimeout(resume, 300));
    }
  }
  state.busy = false;
  byId("bars").setAttribute("aria-busy", "false");
}

function showReading(result, since) {
  const [best] = result.top;
  byId("verdict").textContent = `${best.name} · ${percent(best.probability)}`;
  if (model.classes.length > MAX_BARS) {
    const order = [...result.probabilities.keys()];
    order.sort((a, b) => result.probabilities[b] - result.probabilities[a]);
    makeBars(order.slice(0, MAX_BARS));
  }
  for (const it of bars) it.show(result.probabilities[it.index]);
  const { side, pixels } = result.seen;
  const image = new ImageData(side, side);
  for (const [at, gray] of pixels.entries()) image.data.set([gray, gray, gray, 255], 4 * at);
  byId("seen").getContext("2d").putImageData(image, 0, 0);
  forgetWhy();
  requestAnimationFrame(() => {
    const shown = Math.round(performance.now() - since);
    const latency = byId("latency");
    latency.textContent = `${shown} ms (server ${result.milliseconds.toFixed(1)} ms)`;
    latency.dataset.milliseconds = shown;
  });
}

function showNothing() {
  byId("verdict").textContent = "–";
  for (const it of bars) it.show(0);
  byId("seen").getContext("2d").clearRect(0, 0, 28, 28);
  byId("latency").textContent = "–";
  forgetWhy();
}

/** Removes a heat map that is not that of the drawing any more. */
function forgetWhy() {
  state.why = null;
  press(null, bars.map((it) => it.button));
  const image = byId("draw-map");
  image.hidden = true;
  byId("draw-map-none").hidden = false;
  byId("draw-map-text").textContent = "why? click a bar";
}

async function explainDrawing(index, button) {
  if (state.strokes.length === 0) return;
  const body = JSON.stringify({ strokes: state.strokes });
  state.why = index;
  press(button, bars.map((it) => it.button));
  try {
    const address = await heatMap({ class: index }, body, "application/json");
    if (state.why !== index) return;
    const image = byId("draw-map");
    URL.revokeObjectURL(image.src);
    image.src = address;
    image.alt = `What speaks for ${model.classes[index]}`;
    image.hidden = false;
    byId("draw-map-none").hidden = true;
    byId("draw-map-text").textContent = `what speaks for ${model.classes[index]}`;
  } catch (error) {
    byId("draw-map-text").textContent = error.message;
  }
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * SIDE, (event.clientY - box.top) / box.height * SIDE];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  const stroke = [];
  state.strokes.push(stroke);
  state.pointers.set(event.pointerId, stroke);
  state.pen.shown = false;
  extend(stroke, ...place(event));
  if (stroke.length === 0) state.strokes.pop();
  drawingChanged(event.timeStamp);
});

canvas.addEventListener("pointermove", (event) => {
  const stroke = state.pointers.get(event.pointerId);
  if (!stroke) return;
  // All places since the last event, so that fast strokes are as round as slow ones.
  const events = event.getCoalescedEvents?.() ?? [];
  let moved = false;
  for (const each of events.length ? events : [event]) moved = extend(stroke, ...place(each)) || moved;
  if (moved) drawingChanged(event.timeStamp);
});

for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, (event) => state.pointers.delete(event.pointerId));
}

function undo() {
  state.strokes.pop();
  state.pointers.clear();
  state.pen.down = false;
  drawingChanged();
}

function clear() {
  state.strokes = [];
  state.pointers.clear();
  state.pen.down = false;
  drawingChanged();
}

byId("undo").addEventListener("click", undo);
byId("clear").addEventListener("click", clear);

canvas.addEventListener("keydown", (event) => {
  const { pen } = state;
  const step = event.shiftKey ? 2 : 8;
  const [dx, dy] = {
    ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step],
  }[event.key] ?? [0, 0];
  if (dx || dy) {
    pen.shown = true;
    pen.x = Math.min(SIDE, Math.max(0, pen.x + dx));
    pen.y = Math.min(SIDE, Math.max(0, pen.y + dy));
    if (pen.down && extend(state.strokes.at(-1), pen.x, pen.y)) drawingChanged();
    else redraw();
  } else if (event.key === " ") {
    pen.shown = true;
    pen.down = !pen.down;
    if (pen.down) {
      state.strokes.push([[pen.x, pen.y]]);
      drawingChanged();
    }
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) {
    undo();
  } else {
    return;
  }
  event.preventDefault();
});
canvas.addEventListener("blur", () => { state.pen.shown = state.pen.down = false; redraw(); });

new ResizeObserver(redraw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  readColours();
  redraw();
});

// ---- Images

/** Files that are classified at the same time. */
const AT_ONCE = 4;
/** Files whose results are kept on the page. */
const KEPT = 100;

const waiting = [];
let running = 0;

function take(files) {
  if (files.length === 0) return;
  select(byId("tab-drop"));
  const cards = [...files].map((file) => {
    const card = element("li", { className: "card" });
    const picture = element("img", { className: "picture", alt: "", src: URL.createObjectURL(file) });
    // Browsers do not show every form that the server reads.
    picture.addEventListener("error", () => picture.classList.add("blank"));
    picture.addEventListener("load", () => picture.classList.remove("blank"));
    const text = element("div", {}, element("h2", { textContent: file.name || "pasted image" }),
      element("p", { className: "quiet small", textContent: "waiting…" }));
    card.append(picture, text);
    waiting.push({ file, picture, text });
    return card;
  });
  const results = byId("results");
  results.prepend(...cards);
  while (results.children.length > KEPT) results.lastElementChild.remove();
  work();
}

function work() {
  while (running < AT_ONCE && waiting.length > 0) {
    running += 1;
    classify(waiting.shift()).finally(() => {
      running -= 1;
      work();
    });
  }
}

async function classify({ file, picture, text }) {
  const [heading] = text.children;
  try {
    const headers = { "content-type": "application/octet-stream" };
    const { top } = await (await ask("classify", { method: "POST", headers, body: file })).json();
    const own = picture.src;
    let shown = null;
    const rows = top.map(({ class: index, name, probability }) => {
      const made = bar(name, async () => {
        const asked = shown === index ? null : index;
        shown = asked;
        press(asked === null ? null : made.button, rows.map((it) => it.button));
        try {
          const address = asked === null ? own : await heatMap({ class: index }, file, headers["content-type"]);
          if (shown !== asked) return;
          picture.src = address;
          picture.alt = asked === null ? "" : `What speaks for ${name}`;
        } catch (error) {
          text.append(element("p", { className: "error", textContent: error.message }));
        }
      });
      made.show(probability);
      return made;
    });
    text.replaceChildren(heading, element("div", { className: "bars" }, ...rows.map((it) => it.button)));
  } catch (error) {
    text.replaceChildren(heading, element("p", { className: "error", textContent: error.message }));
  }
}

byId("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});

const zone = byId("zone");
addEventListener("dragover", (event) => {
  event.preventDefault();
  zone.classList.add("over");
});
addEventListener("dragleave", () => zone.classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  zone.classList.remove("over");
  take(event.dataTransfer.files);
});
addEventListener("paste", (event) => take(event.clipboardData.files));

// ---- The test set

const test = { asked: false, shown: 0 };

function showTestSet() {
  if (test.asked) return;
  test.asked = true;
  byId("test-text").textContent = "evaluating the test split…";
  moreRows();
}

async function moreRows() {
  const more = byId("more");
  more.disabled = true;
  try {
    const found = await (await ask(`test?${new URLSearchParams({ from: test.shown, count: 60 })}`)).json();
    if (found.missing) {
      byId("test-text").textContent = found.missing;
      return;
    }
    byId("test-text").textContent = `${found.mistakes} mistakes in ${found.images} images, those that the model is `
      + "surest of first; then the others, the least sure first. A click on a class shows what speaks for it.";
    byId("rows").append(...found.rows.map(testCard));
    test.shown += found.rows.length;
    more.hidden = test.shown >= found.images || found.rows.length === 0;
  } catch (error) {
    byId("test-text").textContent = error.message;
    test.asked = test.shown > 0;
  }
  more.disabled = false;
}

function testCard({ row, id, label, predicted, class: index, probability, right }) {
  const own = `test/${row}`;
  const picture = element("img", { className: "picture pixels", alt: `Image ${id}`, src: own, loading: "lazy" });
  const buttons = [];
  let shown = null;
  const why = (text, asked, name) => {
    const button = element("button", { type: "button", textContent: text });
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", async () => {
      shown = shown === asked ? null : asked;
      const wanted = shown;
      press(shown === null ? null : button, buttons);
      try {
        const address = shown === null ? own : await heatMap({ class: asked, row });
        if (shown !== wanted) return;
        picture.src = address;
        picture.classList.toggle("pixels", shown === null);
        picture.alt = shown === null ? `Image ${id}` : `What speaks for ${name}`;
      } catch (error) {
        button.textContent = error.message;
      }
    });
    buttons.push(button);
    return button;
  };
  const card = element("li", { className: "card" }, picture,
    why(`reads ${predicted} · ${percent(probability)}`, index, predicted));
  if (!right) card.append(why(`is ${label}`, model.classes.indexOf(label), label));
  card.append(element("span", { className: "quiet small", textContent: `image ${id}` }));
  return card;
}

byId("more").addEventListener("click", moreRows);
redraw();
document.documentElement.dataset.ready = "true";
