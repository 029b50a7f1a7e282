"use strict";
// The page's state is three numbers: which sample, which strategy, which frame. `show` draws whatever they say.

const data = JSON.parse(document.getElementById("explorer").textContent);
const SEEN = 0.0005; // a weight below this would be printed as 0 and counts as not used
const STEP_MS = 140, SLOW_STEP_MS = 600; // the slow pace is for people who asked their system for less motion

const state = { sample: 0, strategy: 0, frame: 0, playing: 0 };
const LAST = data.times.length - 1;
const $ = id => document.getElementById(id);
const experts = [...document.querySelectorAll(".expert")];
const outcomes = [...document.querySelectorAll(".outcomes > li")];
const pictures = new Map(); // decoded sprites, by data URI
const planes = data.plane
  ? { x: makePlane($("x"), data.plane, "The state"), clean: makePlane($("clean"), data.plane, "The prediction") }
  : null;
let charts = [];

// --- Pictures ---------------------------------------------------------------------------------------------------

/** The decoded picture of a sprite; each is decoded once. */
async function picture(sprite) {
  if (!pictures.has(sprite.uri)) {
    const image = new Image();
    image.src = sprite.uri;
    pictures.set(sprite.uri, image.decode().then(() => image));
  }
  return pictures.get(sprite.uri);
}

/** Copy one tile of a sprite into a canvas. */
function drawTile(canvas, image, sprite, row, column) {
  const { width, height } = sprite;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  // Small pictures keep their pixels, so that nobody takes smoothing for the model's work.
  canvas.classList.toggle("pixels", width <= 32);
  canvas.getContext("2d").drawImage(image, column * width, row * height, width, height, 0, 0, width, height);
}

// --- Words ------------------------------------------------------------------------------------------------------

const percent = p => p >= 0.995 ? "100%" : p >= 0.01 ? `${Math.round(100 * p)}%` : p > SEEN ? "<1%" : "0";
const degrees = a => a === null ? "–" : `${a < 10 ? a.toFixed(1) : Math.round(a)}°`;
const time = frame => data.times[frame].toFixed(2);

/** "a", "a and b", "a, b and c". */
function list(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** An expert by its number, and by the class that it learnt where that has a name. */
const named = k => data.names[k] ? `expert ${k} (${data.names[k]})` : `expert ${k}`;

/** What happens at a frame, in one or two sentences. */
function sentence(course, strategy, frame) {
  const p = course.probabilities[frame];
  const order = p.map((_, k) => k).sort((a, b) => p[b] - p[a]);
  const sure = p[order[0]] >= 0.5
    ? `the router is ${percent(p[order[0]])} sure of ${named(order[0])}`
    : `the router is undecided: its favourite is ${named(order[0])} with ${percent(p[order[0]])}`;
  const at = frame === LAST
    ? `t = 0, done. In the last step, from t = ${data.evaluatedAt[LAST].toFixed(2)}, ${sure}.`
    : `t = ${time(frame)}: ${sure}.`;
  return `${at} ${used(course, strategy, frame)}`;
}

/** Which experts a strategy uses at a frame. */
function used(course, strategy, frame) {
  if (!strategy.routes) return `${strategy.label} needs neither router nor experts; they are shown for comparison.`;
  const w = course.weights[strategy.name][frame];
  const chosen = w.map((_, k) => k).filter(k => w[k] > SEEN).sort((a, b) => w[b] - w[a]);
  if (chosen.length === 1) return `${strategy.label} follows ${named(chosen[0])} alone.`;
  const first = chosen.slice(0, 3).map(k => `${k} (${data.names[k] ? `${data.names[k]}, ` : ""}${percent(w[k])})`);
  const rest = chosen.length - first.length;
  if (rest > 0) first.push(`${rest} more`);
  return `${strategy.label} mixes experts ${list(first)}.`;
}

/** Mean angle of the experts in use and of the others, over the states shown so far. */
function meanAngles(course, strategy, frame) {
  const sums = { used: [0, 0], other: [0, 0] };
  for (let f = 0; f <= Math.min(frame, LAST - 1); f++) {
    course.weights[strategy.name][f].forEach((w, k) => {
      if (course.angles[f][k] === null) return;
      const sum = sums[w > SEEN ? "used" : "other"];
      sum[0] += course.angles[f][k];
      sum[1] += 1;
    });
  }
  const mean = ([sum, count]) => degrees(count ? sum / count : null);
  return `Mean so far: used ${mean(sums.used)}, others ${sums.other[1] ? mean(sums.other) : "none"}.`;
}

// --- Drawing ----------------------------------------------------------------------------------------------------

/** Draw everything that depends on the frame. */
async function show() {
  const { sample, strategy, frame } = state;
  const courses = data.samples[sample], course = courses[strategy], chosen = data.strategies[strategy];
  const slider = $("time");
  slider.value = frame;
  slider.setAttribute("aria-valuetext", `t = ${time(frame)}, state ${frame + 1} of ${LAST + 1}`);
  slider.style.setProperty("--done", `${100 * frame / LAST}%`);
  $("now").textContent = `t = ${time(frame)}`;
  $("words").textContent = sentence(course, chosen, frame);
  if (data.captions.length) $("caption").textContent = data.captions[sample];
  showExperts(course, chosen, frame);
  for (const chart of charts) chart.moveTo(data.times[frame]);
  $("angles-so-far").textContent = chosen.routes ? meanAngles(course, chosen, frame) : "";
  const gathered = course.disagreementSoFar[frame];
  $("so-far").textContent = `Now ${short(course.disagreement[frame])}, so far ${short(gathered)}.`;
  await showPictures(courses, course, frame);
}

function showExperts(course, chosen, frame) {
  experts.forEach((item, k) => {
    const own = chosen.routes ? course.weights[chosen.name][frame][k] : 0;
    const p = course.probabilities[frame][k], angle = course.angles[frame][k];
    item.classList.toggle("used", own > SEEN);
    item.style.setProperty("--p", p);
    item.querySelector(".percent").textContent = percent(p);
    item.querySelector(".angle").textContent = degrees(angle);
    item.setAttribute("aria-label", `Expert ${k}${data.names[k] ? `, ${data.names[k]}` : ""}: router ${percent(p)}${own > SEEN ? `, used with weight ${percent(own)}` : ", not used"}`);
    for (const cell of item.querySelectorAll("[data-strategy]")) {
      const w = course.weights[cell.dataset.strategy][frame][k];
      cell.classList.toggle("on", w > SEEN);
      cell.querySelector(".weight").textContent = w > SEEN ? percent(w) : "–";
    }
  });
}

async function showPictures(courses, course, frame) {
  const asked = { ...state };
  const images = await Promise.all(courses.map(c => picture(c.sprite)));
  const results = await Promise.all(courses.map(c => picture(c.result)));
  // While pictures were being decoded somebody may have moved on.
  if (asked.sample !== state.sample || asked.strategy !== state.strategy || asked.frame !== state.frame) return;
  const own = images[asked.strategy];
  if (planes) {
    planes.x.moveTo(course.places.slice(0, frame + 1).map(([now]) => now));
    planes.clean.moveTo(course.places.slice(0, frame + 1).map(([, predicted]) => predicted));
  } else {
    drawTile($("x"), own, course.sprite, frame, 0);
    drawTile($("clean"), own, course.sprite, frame, 1);
  }
  experts.forEach((item, k) => drawTile(item.querySelector(".prediction"), own, course.sprite, frame, k + 2));
  outcomes.forEach((item, s) => {
    drawTile(item.querySelector(".now"), images[s], courses[s].sprite, frame, 1);
    drawTile(item.querySelector(".result"), results[s], courses[s].result, 0, 0);
  });
  document.body.dataset.shown = `${asked.sample}/${asked.strategy}/${asked.frame}`;
}

/** Draw what changes with the trajectory and not with the frame. */
function showTrajectory() {
  const { sample, strategy } = state;
  const courses = data.samples[sample], course = courses[strategy], chosen = data.strategies[strategy];
  document.documentElement.style.setProperty("--strategy", chosen.colour);
  for (const place of document.querySelectorAll(".chosen")) place.textContent = chosen.label;
  for (const place of document.querySelectorAll("[data-strategy]")) {
    place.classList.toggle("shown", place.dataset.strategy === chosen.name);
  }
  outcomes.forEach((item, s) => {
    const model = data.strategies[s].routes ? "expert" : "model";
    item.querySelector(".evaluations").textContent = `${courses[s].evaluations} ${model} evaluations`;
  });
  const seek = t => { pause(); go(nearest(t)); };
  charts = [
    routerChart($("router-chart"), course, data.times, data.experts, seek),
    angleChart($("angle-chart"), course, course.weights[chosen.name], data.times, data.experts, seek),
    disagreementChart($("disagreement-chart"), courses, strategy, data.times, data.strategies, seek),
  ];
  show();
}

// --- Moving -----------------------------------------------------------------------------------------------------

function nearest(t) {
  return data.times.reduce((best, time, f) => Math.abs(time - t) < Math.abs(data.times[best] - t) ? f : best, 0);
}

function go(frame) {
  state.frame = Math.min(LAST, Math.max(0, frame));
  show();
}

function play() {
  if (state.frame === LAST) go(0);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  state.playing = setInterval(() => {
    go(state.frame + 1);
    if (state.frame === LAST) pause();
  }, calm ? SLOW_STEP_MS : STEP_MS);
  playing(true);
}

function pause() {
  clearInterval(state.playing);
  state.playing = 0;
  playing(false);
}

function playing(on) {
  $("play").setAttribute("aria-label", on ? "Pause" : "Play");
  $("play").classList.toggle("on", on);
  // A screen reader hears where the film stops, not every frame of it.
  $("words").setAttribute("aria-live", on ? "off" : "polite");
}

function choose(name, value) {
  const radio = document.querySelector(`input[name="${name}"][value="${value}"]`);
  if (radio) radio.checked = true;
  state[name] = value;
  showTrajectory();
}

$("time").addEventListener("input", event => { pause(); go(Number(event.target.value)); });
$("play").addEventListener("click", () => state.playing ? pause() : play());
$("back").addEventListener("click", () => { pause(); go(state.frame - 1); });
$("forward").addEventListener("click", () => { pause(); go(state.frame + 1); });
for (const name of ["strategy", "sample"]) {
  for (const radio of document.querySelectorAll(`input[name="${name}"]`)) {
    radio.addEventListener("change", () => choose(name, Number(radio.value)));
  }
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const count = data.strategies.length;
  let act = null;
  if (sideways && event.shiftKey) act = () => choose("strategy", (state.strategy + sideways + count) % count);
  // Radio buttons use the arrows themselves, buttons the space bar.
  else if (sideways && event.target.type !== "radio") act = () => { pause(); go(state.frame + sideways); };
  else if (event.key === "Home") act = () => { pause(); go(0); };
  else if (event.key === "End") act = () => { pause(); go(LAST); };
  else if (event.key === " " && event.target.tagName !== "BUTTON") act = () => state.playing ? pause() : play();
  if (!act) return;
  event.preventDefault();
  act();
});

async function showExamples() {
  if (!data.examples) return;
  const image = await picture(data.examples);
  document.querySelectorAll(".example").forEach((canvas, k) => drawTile(canvas, image, data.examples, 0, k));
}

/** When the router first gives one expert half of its trust on the way that is shown. */
function sureSince() {
  const course = data.samples[state.sample][state.strategy];
  const first = course.probabilities.findIndex(p => Math.max(...p) >= 0.5);
  if (first < 0) return "never";
  return data.times[first] > 0.8 ? "early" : data.times[first] > 0.5 ? "middle" : "late";
}

showExamples();
showTrajectory();
predict($("predict"), {
  question: "Before you look: when will the router first give one expert more than half of its trust?",
  choices: [["early", "above t = 0.8"], ["middle", "from 0.8 to 0.5"], ["late", "below 0.5"], ["never", "never"]],
  right: sureSince,
  covered: [$("router-chart")],
});
