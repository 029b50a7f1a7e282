"use strict";
// The page: one state, which the address holds, and drawings that follow it. The formulas are in play-model.js.

const { directions, strategies } = JSON.parse(document.getElementById("play").textContent);
const $ = id => document.getElementById(id);
const MOST = directions.length, FEWEST = 2, N = 300, N_MOVING = 80, PATHS = 24, HALF = 3; // HALF: the plane is [-3, 3]^2
const CLUSTERS = [
  { x: -1.1, y: 0, s: 0.29, p: 1.9 }, { x: 0, y: 1.8, s: 0.42, p: 1.3 },
  { x: 1.7, y: -0.4, s: 0.35, p: 2.1 }, { x: -0.2, y: -0.6, s: 0.41, p: 2.1 },
];
const STARVED = CLUSTERS.map((c, k) => ({ ...c, p: [4, 0.8, 2, 0.8][k] }));
const CALM = { temperature: 1, rough: 0, error: 0, steps: 25, solver: "heun", seed: 1, shown: "full" };
const PRESETS = {
  calibrated: { ...CALM, clusters: CLUSTERS, words: "The router says what is true (temperature 1) and the experts are exact: Full is the velocity of the data itself, and nothing is left to gain. Top-1 has clear clusters of the wrong sizes." },
  paper: { ...CALM, clusters: CLUSTERS, temperature: 16, shown: "top2", words: "The router is far flatter than the truth (temperature 16): Full averages experts that do not belong together and is worst, Top-2 is better than Top-1: of these three, the paper's order. One expert drawn and kept (once) needs no average." },
  starvation: { ...CALM, clusters: STARVED, shown: "top1", words: "A router may be calibrated and Top-1 starve small clusters all the same: near t = 1 its favourite is the largest cluster nearly everywhere, and few paths get away from it." },
  cure: { ...CALM, clusters: STARVED, shown: "gumbel", words: "Each sample draws its luck once and keeps it: the favourite after luck is an exact draw of the router at t = 1, and clusters get their shares back, at one expert a step." },
};

/** What is asked before a preset's ends show: which of some strategies has the smallest, or largest, of a number. */
const NEAREST = { among: ["top1", "top2", "full"], by: "energy", farthest: false };
const QUESTIONS = {
  calibrated: { ...NEAREST, question: "The router is exact. Which of these three will end nearest to the data?" },
  paper: { ...NEAREST, question: "The router is far flatter than the truth. Which of these three will end nearest to the data?" },
  starvation: { among: ["top1", "full", "gumbel"], by: "off", farthest: true, question: "One cluster has half of the data. Which of these three will get the shares of the clusters most wrong?" },
  cure: { among: ["top1", "top2", "gumbel"], by: "off", farthest: false, question: "Each sample may keep its luck. Which of these three will have the shares of the clusters right?" },
};

let state, chosen = 0, luck, real, running = 0, results = {};

// --- The state and the address ------------------------------------------------------------------------------------

const number = v => String(Math.round(v * 1000) / 1000);

function address() {
  const clusters = state.clusters.map(c => [c.x, c.y, c.s, c.p].map(number).join(",")).join(";");
  const rest = ["temperature", "rough", "error", "steps", "seed"].map(k => `${k}=${number(state[k])}`);
  return `#${state.preset ? `preset=${state.preset}&` : ""}clusters=${clusters}&${rest.join("&")}&solver=${state.solver}&shown=${state.shown}&t=${number(now())}`;
}

/** The state that an address names; what it does not say, or says wrongly, is the first preset's. */
function fromAddress(text) {
  const said = new URLSearchParams(text.replace(/^#/, ""));
  const preset = Object.hasOwn(PRESETS, said.get("preset") ?? "") ? said.get("preset") : "calibrated";
  const found = structuredClone(PRESETS[preset]);
  const bounded = (value, low, high, other) => Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : other;
  const clusters = (said.get("clusters") ?? "").split(";").map(part => part.split(",").map(Number))
    .filter(c => c.length === 4 && c.every(Number.isFinite)).slice(0, MOST)
    .map(([x, y, s, p]) => ({ x: bounded(x, -HALF, HALF), y: bounded(y, -HALF, HALF), s: bounded(s, 0.05, 2), p: bounded(p, 0.05, 10) }));
  if (clusters.length >= FEWEST) found.clusters = clusters;
  const limits = { temperature: [0.01, 100], rough: [0, 10], error: [0, 10], steps: [1, 200], seed: [0, 1e6] };
  for (const [knob, [low, high]] of Object.entries(limits)) {
    if (said.has(knob)) found[knob] = bounded(Number(said.get(knob)), low, high, found[knob]);
  }
  found.steps = Math.round(found.steps);
  if (["heun", "euler"].includes(said.get("solver"))) found.solver = said.get("solver");
  if ([...$("shown").options].some(o => o.value === said.get("shown"))) found.shown = said.get("shown");
  if (said.has("t")) $("time").value = 100 * (1 - bounded(Number(said.get("t")), 0, 1, 0.5));
  // What is said of a preset holds while nothing is turned: whose field is looked at, and when, does not matter.
  const knobs = Object.keys(limits).filter(knob => knob !== "seed");
  const turned = state => JSON.stringify([state.clusters, ...knobs.map(knob => state[knob]), state.solver]);
  if (turned(found) === turned(PRESETS[preset])) found.preset = preset; else found.words = "";
  return found;
}

const now = () => 1 - Number($("time").value) / 100;

// --- Computing ----------------------------------------------------------------------------------------------------

function compute(n) {
  for (const { name } of strategies) {
    const paths = luck.slice(0, n).map(l => Model.trajectory(state, directions, name, l.start, l, state.steps, state.solver));
    const ends = paths.map(path => path.at(-1)), shares = Model.shares(state, ends);
    const total = state.clusters.reduce((sum, c) => sum + c.p, 0);
    results[name] = {
      paths: paths.slice(0, PATHS), ends, shares,
      energy: Model.energy(ends, real.slice(0, n)),
      frechet: Model.frechet(Model.moments(ends), Model.mixtureMoments(state)),
      off: shares.reduce((sum, share, k) => sum + Math.abs(share - state.clusters[k].p / total) / 2, 0),
    };
  }
}

// --- Drawing ------------------------------------------------------------------------------------------------------

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const expert = k => colour(`--expert-${k}`);
const pixel = (canvas, x, y) => [(x / HALF + 1) * canvas.width / 2, (1 - y / HALF) * canvas.height / 2];

function rgb(hex) { return [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16)); }

/** A small picture of numbers in [0, 1] and colours, drawn over the whole canvas. */
function shade(canvas, cells, at) {
  const small = new OffscreenCanvas(cells, cells), context = small.getContext("2d"), image = context.createImageData(cells, cells);
  for (let j = 0; j < cells; j++) for (let i = 0; i < cells; i++) {
    const [r, g, b, alpha] = at(((i + 0.5) / cells * 2 - 1) * HALF, (1 - (j + 0.5) / cells * 2) * HALF);
    image.data.set([r, g, b, 255 * alpha], 4 * (j * cells + i));
  }
  context.putImageData(image, 0, 0);
  canvas.getContext("2d").drawImage(small, 0, 0, canvas.width, canvas.height);
}

function drawPlane() {
  const canvas = $("plane"), c = canvas.getContext("2d"), t = now(), ink = colour("--text");
  c.clearRect(0, 0, canvas.width, canvas.height);
  const colours = state.clusters.map((_, k) => rgb(expert(k)));
  shade(canvas, 64, (x, y) => {
    const p = Model.softmax(Model.routerLogits(state, directions, x, y, t));
    const k = p.indexOf(Math.max(...p));
    return [...colours[k], 0.1 + 0.5 * Math.max(0, (p[k] - 1 / p.length) / (1 - 1 / p.length))];
  });
  const one = /^expert(\d)$/.exec(state.shown), strategy = one ? "full" : state.shown;
  const kept = { ...luck[0], expert: undefined };
  Model.field(state, directions, strategy, kept, ...kept.start, 1); // what a sample keeps is drawn at its start
  $("whose").textContent = ["once", "gumbel"].includes(strategy) && !one ? "The arrows are those of the first sample, by what it drew." : "";
  const velocity = (x, y) => one
    ? Model.velocities(state, directions, x, y, t)[Math.min(Number(one[1]), state.clusters.length - 1)]
    : Model.field(state, directions, strategy, kept, x, y, t);
  c.strokeStyle = ink;
  c.globalAlpha = 0.55;
  c.lineWidth = 1.2;
  for (let i = 0; i < 15; i++) for (let j = 0; j < 15; j++) {
    const x = ((i + 0.5) / 15 * 2 - 1) * HALF, y = ((j + 0.5) / 15 * 2 - 1) * HALF, [u, v] = velocity(x, y);
    const size = Math.hypot(u, v), long = 0.32 * Math.min(1, size / 2) / (size || 1); // sampling goes against v
    arrow(c, pixel(canvas, x, y), pixel(canvas, x - long * u, y - long * v));
  }
  c.globalAlpha = 1;
  if (!one) for (const path of results[strategy].paths) {
    const reached = (path.length - 1) * (1 - t);
    c.beginPath();
    path.slice(0, Math.floor(reached) + 1).forEach(([x, y], i) => c[i ? "lineTo" : "moveTo"](...pixel(canvas, x, y)));
    c.strokeStyle = ink;
    c.lineWidth = 1.6;
    c.stroke();
    const [x, y] = path[Math.floor(reached)];
    dot(c, pixel(canvas, x, y), 4, ink);
  }
  state.clusters.forEach((cluster, k) => {
    const [px, py] = pixel(canvas, cluster.x, cluster.y), unit = canvas.width / (2 * HALF);
    c.beginPath();
    c.arc(px, py, cluster.s * unit, 0, 2 * Math.PI);
    c.strokeStyle = expert(k);
    c.lineWidth = k === chosen ? 5 : 3;
    c.stroke();
    dot(c, [px, py], 15, expert(k));
    c.fillStyle = colour("--surface");
    c.font = "bold 17px sans-serif";
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.fillText(k + 1, px, py + 1);
  });
  $("time-said").textContent = `t = ${t.toFixed(2)}`;
}

function arrow(c, [ax, ay], [bx, by]) {
  const angle = Math.atan2(by - ay, bx - ax), head = Math.min(6, Math.hypot(bx - ax, by - ay) / 2);
  c.beginPath();
  c.moveTo(ax, ay);
  c.lineTo(bx, by);
  for (const side of [-2.6, 2.6]) {
    c.moveTo(bx, by);
    c.lineTo(bx + head * Math.cos(angle + side), by + head * Math.sin(angle + side));
  }
  c.stroke();
}

function dot(c, [x, y], radius, fill) {
  c.beginPath();
  c.arc(x, y, radius, 0, 2 * Math.PI);
  c.fillStyle = fill;
  c.fill();
}

function drawEnds() {
  const total = state.clusters.reduce((sum, c) => sum + c.p, 0), grey = rgb(colour("--muted"));
  const density = (x, y) => Model.posteriorLogits(state, x, y, 0).reduce((sum, z) => sum + Math.exp(z), 0);
  const top = Math.max(...state.clusters.map(c => density(c.x, c.y)));
  const n = results.exact.ends.length, chance = 2 / n * Model.meanDistance(real, real); // what two samples of the data have on average
  const least = Math.min(...routings().map(name => results[name].energy));
  const best = new Set(routings().filter(name => results[name].energy <= least + chance));
  for (const item of document.querySelectorAll(".ends li")) {
    const name = item.dataset.strategy, result = results[name], canvas = item.querySelector("canvas"), c = canvas.getContext("2d");
    c.clearRect(0, 0, canvas.width, canvas.height);
    shade(canvas, 48, (x, y) => [...grey, 0.75 * Math.sqrt(density(x, y) / top)]);
    for (const [x, y] of result.ends) dot(c, pixel(canvas, x, y), 2.6, colour("--text"));
    item.classList.toggle("best", best.has(name));
    const told = document.querySelector(`[data-told=${name}]`);
    told.classList.toggle("best", best.has(name));
    told.querySelector("b").textContent = result.energy.toFixed(3);
    const bars = [result.shares, state.clusters.map(cluster => cluster.p / total)];
    item.querySelector(".shares").innerHTML = "";
    for (const shares of bars) {
      const bar = document.createElement("div");
      shares.forEach((share, k) => {
        const part = document.createElement("span");
        part.style.cssText = `width:${100 * share}%;background:var(--expert-${k})`;
        bar.append(part);
      });
      item.querySelector(".shares").append(bar);
    }
    item.querySelector(".figures").innerHTML =
      `energy distance <b>${result.energy.toFixed(3)}</b>${best.has(name) ? " (best)" : ""}<br>Frechet <b>${result.frechet.toFixed(3)}</b><br>shares off <b>${(100 * result.off).toFixed(0)}%</b>`;
  }
  $("floor").textContent = chance.toFixed(3);
  const spread = state.clusters.map(({ p }) => p / total).map(p => Math.sqrt(2 * p * (1 - p) / (Math.PI * n)) / 2);
  $("off").textContent = `${(100 * spread.reduce((sum, one) => sum + one, 0)).toFixed(0)}%`; // mean absolute deviations of counts, about normal
}

const routings = () => strategies.map(s => s.name).filter(name => name !== "exact");

// --- What changes -------------------------------------------------------------------------------------------------

let waiting = 0, settling = 0;

/** Everything again, with few samples while a hand is at work, and with all of them when it rests. */
function changed(resting = false) {
  cancelAnimationFrame(waiting);
  clearTimeout(settling);
  waiting = requestAnimationFrame(() => {
    refresh(resting ? N : N_MOVING);
    if (!resting) settling = setTimeout(() => changed(true), 250);
  });
}

function refresh(n) {
  real = Model.realStates(state, Model.luckOf(state.seed + 1, N, MOST));
  luck = Model.luckOf(state.seed, N, MOST);
  compute(n);
  drawPlane();
  drawEnds();
  showKnobs();
  if (n === N) history.replaceState(null, "", address());
}

function showKnobs() {
  for (const knob of document.querySelectorAll("[data-knob]")) {
    const name = knob.dataset.knob, value = state[name];
    knob.value = name === "temperature" ? Math.log2(value) : value;
    const said = knob.parentElement.querySelector(".value");
    if (said) said.textContent = name === "steps" ? value : Number(value.toFixed(2));
  }
  document.querySelectorAll("[data-cluster]").forEach((field, k) => {
    field.hidden = k >= state.clusters.length;
    field.classList.toggle("chosen", k === chosen);
    if (!field.hidden) for (const input of field.querySelectorAll("input")) input.value = state.clusters[k][input.dataset.of];
  });
  $("shown").value = state.shown;
  $("more").disabled = state.clusters.length >= MOST;
  $("fewer").disabled = state.clusters.length <= FEWEST;
  $("words").textContent = state.words ?? "";
}

function own() { state.words = state.preset = ""; forget($("predict")); } // a preset's words and question hold for the preset alone

function move(k, x, y) {
  const inside = v => Math.min(HALF, Math.max(-HALF, v));
  Object.assign(state.clusters[k], { x: inside(x), y: inside(y) });
  own();
  changed();
}

function scale(k, key, factor, low, high) {
  state.clusters[k][key] = Math.min(high, Math.max(low, state.clusters[k][key] * factor));
  own();
  changed();
}

for (const knob of document.querySelectorAll("[data-knob]")) knob.addEventListener("input", () => {
  const name = knob.dataset.knob;
  state[name] = name === "solver" ? knob.value : name === "temperature" ? 2 ** Number(knob.value) : Number(knob.value);
  own();
  changed();
});
document.querySelectorAll("[data-cluster]").forEach((field, k) => field.addEventListener("input", event => {
  state.clusters[k][event.target.dataset.of] = Number(event.target.value);
  chosen = k;
  own();
  changed();
}));
for (const button of document.querySelectorAll("[data-preset]")) button.addEventListener("click", () => {
  const { question, among, by, farthest, words, ...preset } = { ...PRESETS[button.dataset.preset], ...QUESTIONS[button.dataset.preset] };
  state = structuredClone({ ...preset, preset: button.dataset.preset });
  chosen = 0;
  changed(true);
  predict($("predict"), {
    question,
    choices: strategies.filter(s => among.includes(s.name)).map(s => [s.name, s.label]),
    right: () => among.reduce((a, b) => (results[b][by] < results[a][by]) !== farthest ? b : a),
    covered: [document.querySelector(".ends"), document.querySelector(".told")],
    then: () => { state.words = $("words").textContent = words; },
  });
});
$("shown").addEventListener("input", () => { state.shown = $("shown").value; drawPlane(); history.replaceState(null, "", address()); });
$("time").addEventListener("input", () => { stop(); drawPlane(); });
$("time").addEventListener("change", () => history.replaceState(null, "", address()));
$("again").addEventListener("click", () => { state.seed += 2; changed(true); });
$("more").addEventListener("click", () => { state.clusters.push({ x: 0.5, y: 0.5, s: 0.3, p: 1 }); own(); changed(true); });
$("fewer").addEventListener("click", () => { state.clusters.pop(); chosen = 0; own(); changed(true); });
$("link").addEventListener("click", async () => {
  history.replaceState(null, "", address());
  try { await navigator.clipboard.writeText(location.href); $("link").textContent = "copied"; } catch { $("link").textContent = "it is in the address bar"; }
});

let start = 0;
function stop() { cancelAnimationFrame(running); running = 0; $("run").textContent = "play"; }
function play() {
  if (running) return stop();
  if (Number($("time").value) >= 100) $("time").value = 0;
  start = performance.now() - 40 * Number($("time").value);
  $("run").textContent = "pause";
  const tick = moment => {
    $("time").value = Math.min(100, (moment - start) / 40);
    drawPlane();
    if (Number($("time").value) >= 100) stop(); else running = requestAnimationFrame(tick);
  };
  running = requestAnimationFrame(tick);
}
$("run").addEventListener("click", play);

// Fingers and mice alike: the nearest cluster follows.
const plane = $("plane");
function place(event) {
  const box = plane.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width * 2 - 1) * HALF, (1 - (event.clientY - box.top) / box.height * 2) * HALF];
}
let held = -1;
/** The cluster at a place of the screen, or -1. */
function clusterAt(event) {
  const [x, y] = place(event), distance = state.clusters.map(c => Math.hypot(c.x - x, c.y - y));
  const near = distance.indexOf(Math.min(...distance));
  return distance[near] > 0.5 ? -1 : near;
}
// A finger that takes a cluster does not scroll the page; one that does not, may.
plane.addEventListener("touchstart", event => {
  if (event.touches.length === 1 && clusterAt(event.touches[0]) >= 0) event.preventDefault();
}, { passive: false });
plane.addEventListener("pointerdown", event => {
  const near = clusterAt(event);
  if (near < 0) return;
  held = chosen = near;
  plane.setPointerCapture(event.pointerId);
  drawPlane();
});
plane.addEventListener("pointermove", event => { if (held >= 0) move(held, ...place(event)); });
for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { if (held >= 0) { held = -1; changed(true); } });
plane.addEventListener("keydown", event => {
  const c = state.clusters[chosen], step = event.shiftKey ? 0.5 : 0.1;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
  if (moves[event.key]) move(chosen, c.x + moves[event.key][0], c.y + moves[event.key][1]);
  else if ("+=".includes(event.key)) scale(chosen, "s", 1.1, 0.08, 1);
  else if (event.key === "-") scale(chosen, "s", 1 / 1.1, 0.08, 1);
  else if (event.key === ">") scale(chosen, "p", 1.2, 0.1, 5);
  else if (event.key === "<") scale(chosen, "p", 1 / 1.2, 0.1, 5);
  else if (event.key === " ") play();
  else if (Number(event.key) >= 1 && Number(event.key) <= state.clusters.length) { chosen = Number(event.key) - 1; drawPlane(); showKnobs(); }
  else return;
  event.preventDefault();
});
window.addEventListener("hashchange", () => { forget($("predict")); state = fromAddress(location.hash); changed(true); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawPlane(); drawEnds(); });

state = fromAddress(location.hash);
refresh(N);
