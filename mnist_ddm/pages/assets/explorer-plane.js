"use strict";
// States that are points of the plane, drawn large as SVG: ticks, real points pale behind, the way so far.

const PLANE = { size: 200, left: 30, right: 8, top: 8, bottom: 32 };

/** Multiples of a round number within a square of half side `side`: two or three on each side of 0. */
function planeTicks(side) {
  const power = 10 ** Math.floor(Math.log10(side / 2));
  const step = power * [5, 2, 1].find(factor => factor * power <= side / 2);
  const most = Math.floor(side / step);
  return Array.from({ length: 2 * most + 1 }, (_, i) => (i - most) * step);
}

/** A drawing of one moving point; `moveTo` shows a way up to its last place. */
function makePlane(root, plane, label) {
  const { size, left, right, top, bottom } = PLANE;
  const x = value => left + (value / plane.side + 1) / 2 * (size - left - right);
  const y = value => size - bottom - (value / plane.side + 1) / 2 * (size - top - bottom);
  const at = ([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`;
  const axes = svg("g", { class: "axes" });
  for (const value of planeTicks(plane.side)) {
    const text = short(value), zero = value === 0 ? { class: "zero" } : {};
    axes.append(svg("line", { x1: x(value), x2: x(value), y1: top, y2: size - bottom, ...zero }));
    axes.append(svg("line", { x1: left, x2: size - right, y1: y(value), y2: y(value), ...zero }));
    axes.append(svg("text", { x: x(value), y: size - bottom + 13, "text-anchor": "middle" }, text));
    axes.append(svg("text", { x: left - 4, y: y(value) + 4, "text-anchor": "end" }, text));
  }
  axes.append(svg("text", { x: x(0), y: size - 4, "text-anchor": "middle" }, plane.axes[0]));
  axes.append(svg("text", { x: -y(0), y: 9, "text-anchor": "middle", transform: "rotate(-90)" }, plane.axes[1]));
  const real = svg("path", { class: "real", d: plane.real.map(place => `M${at(place)}h0`).join("") });
  const way = svg("path", { class: "way" }), start = svg("circle", { class: "start", r: 3.5 });
  const now = svg("circle", { class: "now", r: 5 });
  root.setAttribute("viewBox", `0 0 ${size} ${size}`);
  root.replaceChildren(axes, real, way, start, now);
  return {
    moveTo(places) {
      way.setAttribute("d", places.map((place, i) => (i ? "L" : "M") + at(place)).join(""));
      for (const [circle, [a, b]] of [[start, places[0]], [now, places.at(-1)]]) {
        circle.setAttribute("cx", x(a));
        circle.setAttribute("cy", y(b));
      }
      root.setAttribute("aria-label", `${label}, at (${places.at(-1).map(value => value.toFixed(2)).join(", ")})`);
    },
  };
}
