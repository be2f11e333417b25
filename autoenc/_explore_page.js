"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const floats = text => new Float32Array(Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer);
const LAYERS = DATA.layers.map(l => ({weight: floats(l.weight), bias: floats(l.bias), activations: l.activations}));
const K = DATA.n_components, D = DATA.n_outputs, N = DATA.n_rows;
const CODES = floats(DATA.codes), ROWS = DATA.rows === null ? null : floats(DATA.rows), ERRORS = floats(DATA.errors);
const AXES = floats(DATA.axes), AT = floats(DATA.points);            // (2, K); (N, 2)
const START = AT.slice();
const element = id => document.getElementById(id);
const map = element("map"), ink = map.getContext("2d"), MARGIN = 18;
let picked = 0, dragged = false, threshold = 0, only = null;  // only: the class that the legend was asked for

const box = [0, 1].map(a => {
  let low = Infinity, high = -Infinity;
  for (let i = a; i < AT.length; i += 2) { low = Math.min(low, AT[i]); high = Math.max(high, AT[i]); }
  const pad = 0.08 * (high - low) || 1;
  return [low - pad, high + pad];
});
const toX = v => MARGIN + (v - box[0][0]) / (box[0][1] - box[0][0]) * (map.width - 2 * MARGIN);
const toY = v => map.height - MARGIN - (v - box[1][0]) / (box[1][1] - box[1][0]) * (map.height - 2 * MARGIN);
const fromX = x => box[0][0] + (x - MARGIN) / (map.width - 2 * MARGIN) * (box[0][1] - box[0][0]);
const fromY = y => box[1][0] + (map.height - MARGIN - y) / (map.height - 2 * MARGIN) * (box[1][1] - box[1][0]);

// The code of a row where its point is now: moved within the plane of the map, unchanged across it.
function codeOf(i) {
  const code = new Float64Array(K);
  for (let k = 0; k < K; k++) {
    code[k] = CODES[i * K + k];
    for (let a = 0; a < 2; a++) code[k] += (AT[2 * i + a] - START[2 * i + a]) * AXES[a * K + k];
  }
  return code;
}

// Corners, how far they are turned (1: half of the angle between two), and how near the middle is the midst of a side.
const SHAPES = {
  circle: [16, 0], square: [4, 1], triangle: [3, 0], diamond: [4, 0], down: [3, 1], plus: [4, 0, 0.4], cross: [4, 1, 0.4],
  left: [3, 0.5], right: [3, 1.5], star: [5, 0, 0.45],
};
function mark(pen, x, y, shape, size) {  // all of the area of a circle of this radius
  const [n, turn, dent = Math.cos(Math.PI / n)] = SHAPES[shape || "circle"];
  const far = size * Math.sqrt(Math.PI / (n * dent * Math.sin(Math.PI / n)));
  pen.beginPath();
  for (let k = 0; k < 2 * n; k++) {
    const angle = (k + turn) * Math.PI / n, r = k % 2 ? dent * far : far;
    pen.lineTo(x + r * Math.sin(angle), y - r * Math.cos(angle));
  }
  pen.fill();
}

function drawMap() {
  ink.clearRect(0, 0, map.width, map.height);
  for (let i = 0; i < N; i++) {
    const x = toX(AT[2 * i]), y = toY(AT[2 * i + 1]), meant = only === null || DATA.labels[i] === only;
    ink.globalAlpha = meant ? 0.85 : 0.08;
    ink.fillStyle = DATA.colours[i] || "#457BC7";
    mark(ink, x, y, DATA.shapes[i], 3.2);
    if (ERRORS[i] > threshold && meant) {
      ink.globalAlpha = 1; ink.strokeStyle = "#D55E00"; ink.lineWidth = 1.6;
      ink.beginPath(); ink.arc(x, y, 6.5, 0, 2 * Math.PI); ink.stroke();
    }
  }
  ink.globalAlpha = 1; ink.strokeStyle = "#222"; ink.lineWidth = 2;
  ink.beginPath(); ink.arc(toX(AT[2 * picked]), toY(AT[2 * picked + 1]), 8, 0, 2 * Math.PI); ink.stroke();
}

const MISSING = [156, 201, 232], SHOWN = Math.min(D, DATA.feature_names.length);
function picture(values, caption) {
  const [h, w] = DATA.image_shape, c = DATA.image_shape[2] || 1;
  const figure = document.createElement("figure"), canvas = document.createElement("canvas");
  canvas.width = w; canvas.height = h;
  const context = canvas.getContext("2d"), image = context.createImageData(w, h);
  for (let p = 0; p < w * h; p++) for (let q = 0; q < 4; q++) {
    if (q === 3) { image.data[4 * p + 3] = 255; continue; }
    const v = (values[p * c + (c > 1 ? q : 0)] - DATA.range[0]) / (DATA.range[1] - DATA.range[0]);
    if (Number.isNaN(v)) { image.data[4 * p + q] = MISSING[q]; continue; }
    image.data[4 * p + q] = 255 * Math.min(1, Math.max(0, c > 1 ? v : 1 - v));
  }
  context.putImageData(image, 0, 0);
  const text = document.createElement("figcaption");
  text.textContent = caption + (values.some(Number.isNaN) ? " (pale blue: missing)" : "");
  figure.append(canvas, text);
  return figure;
}

function table(row, decoded) {
  const out = document.createElement("table"), head = out.insertRow();
  for (const [i, title] of ["feature", ...(row ? ["row"] : []), "decoded"].entries()) {
    const cell = document.createElement("th");
    cell.textContent = title;
    if (i) cell.className = "n";
    head.append(cell);
  }
  for (let j = 0; j < SHOWN; j++) {
    const line = out.insertRow();
    line.insertCell().textContent = DATA.feature_names[j];
    for (const v of [...(row ? [row[j]] : []), decoded[j]]) {
      const cell = line.insertCell();
      cell.className = "n"; cell.textContent = Number.isNaN(v) ? "missing" : Number(v.toPrecision(4));
    }
  }
  if (D > SHOWN) out.insertRow().insertCell().textContent = `and ${D - SHOWN} more`;
  return out;
}

function show(i) {
  picked = i;
  const decoded = decode(LAYERS, codeOf(i)), shown = element("shown");
  const label = DATA.labels === null ? "" : ", label " + DATA.labels[i];
  const moved = AT[2 * i] !== START[2 * i] || AT[2 * i + 1] !== START[2 * i + 1];
  element("what").textContent = "row " + DATA.numbers[i] + label + ", error " + Number(ERRORS[i].toPrecision(4)) +
    (ERRORS[i] > threshold ? ", an anomaly" : "") + (moved ? " (dragged)" : "");
  const row = ROWS === null ? null : ROWS.subarray(i * D, (i + 1) * D);
  if (DATA.image_shape) {
    const both = document.createElement("div");
    both.className = "pictures";
    if (row) both.append(picture(row, "the row"));
    both.append(picture(decoded, moved ? "decoded where it is now" : "decoded"));
    shown.replaceChildren(both);
  } else shown.replaceChildren(table(row, decoded));
  window.shownCode = Array.from(codeOf(i)); window.shownValues = Array.from(decoded);
  drawMap();
}

function nearest(event) {
  const frame = map.getBoundingClientRect();
  const x = (event.clientX - frame.left) * map.width / frame.width, y = (event.clientY - frame.top) * map.height / frame.height;
  let best = -1, least = 18 * 18;
  for (let i = 0; i < N; i++) {
    const d = (toX(AT[2 * i]) - x) ** 2 + (toY(AT[2 * i + 1]) - y) ** 2;
    if (d < least) { least = d; best = i; }
  }
  return [best, x, y];
}
map.addEventListener("pointerdown", event => {
  const [i] = nearest(event);
  if (i >= 0) { dragged = true; map.setPointerCapture(event.pointerId); show(i); }
});
map.addEventListener("pointermove", event => {
  const [i, x, y] = nearest(event);
  if (dragged) {  // not out of sight
    AT[2 * picked] = fromX(Math.min(map.width - 8, Math.max(8, x)));
    if (!DATA.is_line) AT[2 * picked + 1] = fromY(Math.min(map.height - 8, Math.max(8, y)));
    show(picked);
  }
  else if (i >= 0 && i !== picked) show(i);
});
for (const name of ["pointerup", "pointercancel"]) map.addEventListener(name, () => { dragged = false; });
element("reset").addEventListener("click", () => { AT.set(START); show(picked); });

// Errors in order, so that the slider moves by shares of the rows where they lie close together.
const SORTED = Float32Array.from(ERRORS).sort();
function drawBars() {
  const bars = element("bars"), pen = bars.getContext("2d"), n = 50, counts = new Array(n).fill(0);
  const low = SORTED[0], span = SORTED[N - 1] - low || 1;
  for (const e of ERRORS) counts[Math.min(n - 1, Math.floor((e - low) / span * n))]++;
  const top = Math.max(...counts);
  pen.clearRect(0, 0, bars.width, bars.height);
  for (let b = 0; b < n; b++) {
    pen.fillStyle = low + (b + 0.5) / n * span > threshold ? "#D55E00" : "#0072B2";
    const height = counts[b] / top * (bars.height - 4);
    pen.fillRect(b * bars.width / n, bars.height - height, bars.width / n - 1, height);
  }
}
function setThreshold(value) {
  threshold = value;
  let above = 0;
  for (const e of ERRORS) if (e > threshold) above++;
  element("value").textContent = Number(threshold.toPrecision(4));
  element("count").textContent = above + " of " + N + " rows";
  window.above = above;
  drawBars();
  show(picked);
}
element("threshold").addEventListener("input", event => {
  const at = event.target.value / 1000 * (N - 1), i = Math.floor(at), next = SORTED[Math.min(N - 1, i + 1)];
  setThreshold(SORTED[i] + (at - i) * (next - SORTED[i]));
});

for (const [text, colour, shape] of DATA.legend) {
  const entry = document.createElement(shape ? "button" : "span"), dot = document.createElement("canvas");
  dot.width = dot.height = 14;
  const pen = dot.getContext("2d");
  pen.fillStyle = colour;
  mark(pen, 7, 7, shape, 4);
  entry.append(dot, text);
  if (shape) {  // a class: the others fade until it is asked for again
    entry.type = "button"; entry.title = "show this class alone, or all again";
    entry.addEventListener("click", () => {
      only = only === text ? null : text;
      for (const one of element("legend").children) one.setAttribute("aria-pressed", one === entry && only !== null);
      drawMap();
    });
  }
  element("legend").append(entry);
}
const below = SORTED.filter(e => e <= DATA.threshold).length;
element("threshold").value = 1000 * Math.max(0, below - 1) / Math.max(1, N - 1);
setThreshold(DATA.threshold);
