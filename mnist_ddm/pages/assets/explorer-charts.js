"use strict";
// Three small charts over t, drawn as SVG: from noise (t = 1, left) to image (t = 0, right).
// Each is drawn once for a trajectory; moving in time only moves the cursor and the veil over what is still to come.

const CHART = { width: 380, height: 190, left: 42, right: 22, top: 8, bottom: 30 };

function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

// Positions of time and value in the drawing.
const chartX = t => CHART.left + (1 - t) * (CHART.width - CHART.left - CHART.right);
const chartY = share => CHART.height - CHART.bottom - share * (CHART.height - CHART.bottom - CHART.top);

/** An empty chart with axes; `top` is the value at its upper edge, `unit` follows the numbers. */
function makeChart(place, label, top, unit, onSeek) {
  const root = svg("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", "aria-label": label });
  const axes = svg("g", { class: "axes" });
  for (const share of [0, 0.5, 1]) {
    const y = chartY(share);
    axes.append(svg("line", { x1: chartX(1), x2: chartX(0), y1: y, y2: y }));
    axes.append(svg("text", { x: CHART.left - 5, y: y + 4, "text-anchor": "end" }, short(top * share) + unit));
  }
  for (const t of [1, 0.5, 0]) {
    const anchor = t === 1 ? "start" : t === 0 ? "end" : "middle";
    axes.append(svg("text", { x: chartX(t), y: CHART.height - 10, "text-anchor": anchor }, t === 1 ? "t = 1" : `${t}`));
  }
  const marks = svg("g");
  const veil = svg("rect", { class: "veil", y: CHART.top, height: chartY(0) - CHART.top });
  const cursor = svg("line", { class: "cursor", y1: CHART.top - 4, y2: chartY(0) });
  const over = svg("g");
  root.append(axes, marks, veil, cursor, over);
  place.replaceChildren(root);
  seekable(root, onSeek);
  return {
    root, marks, over,
    y: value => chartY(Math.min(value / top, 1.02)),
    moveTo(t) {
      const x = chartX(t);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
      veil.setAttribute("x", x);
      veil.setAttribute("width", Math.max(0, chartX(0) - x));
    },
  };
}

/** Mouse, pen or finger on a chart chooses the time; the slider does the same for keys. */
function seekable(root, onSeek) {
  const seek = event => {
    const box = root.getBoundingClientRect();
    const x = (event.clientX - box.left) * CHART.width / box.width;
    onSeek(1 - (x - CHART.left) / (CHART.width - CHART.left - CHART.right));
  };
  root.addEventListener("pointerdown", event => { root.setPointerCapture(event.pointerId); seek(event); });
  root.addEventListener("pointermove", event => { if (event.buttons) seek(event); });
}

/** An SVG path through points; gaps where a value is missing. */
function line(points) {
  let path = "", pen = "M";
  for (const [x, y] of points) {
    if (y === null) { pen = "M"; continue; }
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  }
  return path;
}

/** Router probabilities stacked on each other, each with its expert's number where there is room. */
function routerChart(place, course, times, experts, onSeek) {
  const chart = makeChart(place, "Router probabilities of all experts over time", 100, "%", onSeek);
  const before = times.map(() => 0);
  experts.forEach((expert, k) => {
    const low = before.map((b, f) => [chartX(times[f]), chartY(b)]);
    course.probabilities.forEach((p, f) => { before[f] += p[k]; });
    const high = before.map((b, f) => [chartX(times[f]), chartY(b)]);
    chart.marks.append(svg("path", { class: "area", d: line(high) + line(low.reverse()).replace("M", "L") + "Z", fill: expert.colour }));
    // The label stands where the band is widest, away from the edges.
    let best = 0, widest = 0;
    course.probabilities.forEach((p, f) => {
      if (f > 1 && f < times.length - 2 && p[k] > widest) { widest = p[k]; best = f; }
    });
    if (widest > 0.09) {
      const y = chartY(before[best] - course.probabilities[best][k] / 2) + 4;
      chart.over.append(svg("text", { class: "band", x: chartX(times[best]), y, "text-anchor": "middle" }, `${k}`));
    }
  });
  return chart;
}

/** One line for each expert, thick where the strategy uses it, with its number at the end. */
function angleChart(place, course, weights, times, experts, onSeek) {
  const top = niceTop(Math.max(...course.angles.flat()));
  const chart = makeChart(place, "Angle between each expert's velocity and the routed velocity over time", top, "°", onSeek);
  const ends = [];
  experts.forEach((expert, k) => {
    const points = course.angles.map((a, f) => [chartX(times[f]), chart.y(a[k])]);
    chart.marks.append(svg("path", { class: "thin", d: line(points), stroke: expert.colour }));
    if (weights) {
      // The piece on both sides of a state in which the expert is used.
      const used = points.map(([x, y], f) => [x, weights[f][k] > SEEN || (f && weights[f - 1][k] > SEEN) ? y : null]);
      chart.marks.append(svg("path", { class: "thick", d: line(used), stroke: expert.colour }));
    }
    ends.push({ k, y: points.at(-1)[1] });
  });
  spread(ends, 11);
  for (const { k, y } of ends) {
    chart.over.append(svg("text", { class: "end", x: chartX(0) + 5, y: y + 4, fill: experts[k].colour }, `${k}`));
  }
  return chart;
}

/** Disagreement along every strategy's trajectory; the area under the shown one is what has been gathered so far. */
function disagreementChart(place, courses, shown, times, strategies, onSeek) {
  const top = niceTop(Math.max(...courses.flatMap(course => course.disagreement)));
  const chart = makeChart(place, "Disagreement of the experts over time, along each routing's trajectory", top, "", onSeek);
  courses.forEach((course, s) => {
    const points = course.disagreement.map((d, f) => [chartX(times[f]), chart.y(d)]);
    const colour = strategies[s].colour;
    if (s === shown) {
      const foot = [[chartX(0), chartY(0)], [chartX(1), chartY(0)]];
      chart.marks.prepend(svg("path", { class: "under", d: line([...points, ...foot]) + "Z", fill: colour }));
    }
    chart.marks.append(svg("path", { class: s === shown ? "thick" : "thin", d: line(points), stroke: colour }));
    const every = Math.max(1, Math.round(points.length / 5));
    points.forEach(([x, y], f) => {
      if (f % every === Math.round(every * (s + 1) / (courses.length + 1))) {
        const place = `translate(${x - 4.5} ${y - 4.5}) scale(.9)`;
        chart.marks.append(svg("path", { d: strategies[s].mark, transform: place, fill: colour }));
      }
    });
  });
  return chart;
}

/** Move labels apart that would lie on each other. */
function spread(labels, gap) {
  labels.sort((a, b) => a.y - b.y);
  for (let i = 1; i < labels.length; i++) labels[i].y = Math.max(labels[i].y, labels[i - 1].y + gap);
  const beyond = labels.length ? labels.at(-1).y - chartY(0) : 0;
  if (beyond > 0) {
    labels.at(-1).y -= beyond;
    for (let i = labels.length - 2; i >= 0; i--) labels[i].y = Math.min(labels[i].y, labels[i + 1].y - gap);
  }
}

/** The next round number above a value. */
function niceTop(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find(step => step * power >= value) * power;
}

/** A number for an axis or a sentence: two or three digits. */
function short(value) {
  if (value === 0) return "0";
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(2)));
}
