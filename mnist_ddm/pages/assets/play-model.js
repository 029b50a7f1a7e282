"use strict";
// A decentralized diffusion model of the plane in closed form: the formulas of the `gaussian` system, in two dimensions.
//
// A system is { clusters: [{ x, y, s, p }], temperature, rough, error }: means, widths, shares, the router's temperature, how
// rough it is in x, and the length of the error that an expert makes away from its own data. t = 1 is noise, t = 0 is data.

const Model = (() => {
  const ROUGHNESS = 5; // waves of the router's roughness, in radians for each unit of the plane
  const FINE = 120; // steps of the exact flow

  /** softmax of an array. */
  function softmax(z) {
    const top = Math.max(...z);
    const e = z.map(v => Math.exp(v - top));
    const sum = e.reduce((a, b) => a + b, 0);
    return e.map(v => v / sum);
  }

  const variance = (c, t) => (1 - t) ** 2 * c.s ** 2 + t ** 2;

  /** log pi_k N(x; (1 - t) mu_k, V_k I) up to a constant. */
  function posteriorLogits(system, x, y, t) {
    const total = system.clusters.reduce((sum, c) => sum + c.p, 0);
    return system.clusters.map(c => {
      const v = variance(c, t), dx = x - (1 - t) * c.x, dy = y - (1 - t) * c.y;
      return Math.log(c.p / total) - Math.log(v) - (dx * dx + dy * dy) / (2 * v);
    });
  }

  /** What the router says: the posterior's logits over the temperature, with waves in x. */
  function routerLogits(system, directions, x, y, t) {
    return posteriorLogits(system, x, y, t).map((z, k) => {
      const [a, b] = directions[k];
      return z / system.temperature + system.rough * Math.sin(ROUGHNESS * (a * x + b * y) + k);
    });
  }

  /** The exact velocities of all experts, as pairs. */
  function exactVelocities(system, x, y, t) {
    return system.clusters.map(c => {
      const scale = (t - (1 - t) * c.s ** 2) / variance(c, t);
      return [scale * (x - (1 - t) * c.x) - c.x, scale * (y - (1 - t) * c.y) - c.y];
    });
  }

  /** The velocities that the experts predict: exact on their own data, wrong away from it. */
  function velocities(system, directions, x, y, t) {
    const exact = exactVelocities(system, x, y, t);
    if (!system.error) return exact;
    const own = softmax(posteriorLogits(system, x, y, t));
    return exact.map(([u, v], k) => {
      const wrong = system.error * (1 - own[k]);
      return [u + wrong * directions[k][0], v + wrong * directions[k][1]];
    });
  }

  /** The k largest, earlier ones first where they are equal, renormalised. */
  function top(logits, k) {
    const order = logits.map((_, i) => i).sort((a, b) => logits[b] - logits[a] || a - b).slice(0, k);
    return softmax(logits.map((z, i) => order.includes(i) ? z : -Infinity));
  }

  const oneHot = (k, n) => Array.from({ length: n }, (_, i) => Number(i === k));
  const argmax = z => z.indexOf(Math.max(...z));

  function drawn(p, uniform) {
    let sum = 0;
    for (let k = 0; k < p.length; k++) { sum += p[k]; if (uniform < sum) return k; }
    return p.length - 1;
  }

  /** Weights of the experts; `luck` has the uniform number and the Gumbel vector that a sample keeps. */
  const STRATEGIES = {
    top1: logits => top(logits, 1),
    top2: logits => top(logits, 2),
    full: logits => softmax(logits),
    gumbel: (logits, luck) => oneHot(argmax(logits.map((z, k) => z + luck.gumbel[k])), logits.length),
    once: (logits, luck) => {
      if (luck.expert === undefined) luck.expert = drawn(softmax(logits), luck.uniform);
      return oneHot(luck.expert, logits.length);
    },
  };

  /** The velocity of a strategy; `exact` is the velocity of the whole mixture, whatever the knobs say. */
  function field(system, directions, strategy, luck, x, y, t) {
    const exact = strategy === "exact";
    const u = exact ? exactVelocities(system, x, y, t) : velocities(system, directions, x, y, t);
    const w = exact
      ? softmax(posteriorLogits(system, x, y, t))
      : STRATEGIES[strategy](routerLogits(system, directions, x, y, t), luck);
    let a = 0, b = 0;
    for (let k = 0; k < u.length; k++) if (w[k]) { a += w[k] * u[k][0]; b += w[k] * u[k][1]; }
    return [a, b];
  }

  /** The states from t = 1 to t = 0, with both ends; the last step of Heun's method is Euler's. */
  function trajectory(system, directions, strategy, start, luck, steps, solver) {
    const own = { ...luck }, n = strategy === "exact" ? Math.max(steps, FINE) : steps;
    const heun = solver === "heun" || strategy === "exact";
    let [x, y] = start;
    const path = [[x, y]];
    for (let i = 0; i < n; i++) {
      const t = (n - i) / n, next = (n - i - 1) / n, h = next - t;
      const [a, b] = field(system, directions, strategy, own, x, y, t);
      let dx = h * a, dy = h * b;
      if (heun && next > 0) {
        const [c, d] = field(system, directions, strategy, own, x + dx, y + dy, next);
        dx = h / 2 * (a + c);
        dy = h / 2 * (b + d);
      }
      x += dx;
      y += dy;
      path.push([x, y]);
    }
    return path;
  }

  /** A stream of uniform numbers (mulberry32). */
  function stream(seed) {
    let a = seed >>> 0;
    return () => {
      a = (a + 0x6d2b79f5) >>> 0;
      let z = a;
      z = Math.imul(z ^ (z >>> 15), z | 1);
      z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
      return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
    };
  }

  /** Noise and luck of n samples: the same for every strategy, and for any other system. */
  function luckOf(seed, n, most) {
    const next = stream(seed);
    const normal = () => {
      const r = Math.sqrt(-2 * Math.log(1 - next())), phi = 2 * Math.PI * next();
      return [r * Math.cos(phi), r * Math.sin(phi)];
    };
    return Array.from({ length: n }, () => ({
      start: normal(),
      real: normal(),
      share: next(),
      uniform: next(),
      gumbel: Array.from({ length: most }, () => -Math.log(-Math.log(next() + 1e-300))),
    }));
  }

  /** Real states of the mixture, from the same numbers. */
  function realStates(system, luck) {
    const total = system.clusters.reduce((sum, c) => sum + c.p, 0);
    return luck.map(l => {
      const c = system.clusters[drawn(system.clusters.map(c => c.p / total), l.share)];
      return [c.x + c.s * l.real[0], c.y + c.s * l.real[1]];
    });
  }

  /** The share of samples that lie nearest to each cluster, by the exact posterior at t = 0. */
  function shares(system, points) {
    const counts = system.clusters.map(() => 0);
    for (const [x, y] of points) counts[argmax(posteriorLogits(system, x, y, 0))]++;
    return counts.map(c => c / points.length);
  }

  /** Mean (x, y) and covariance (xx, xy, yy) of points. */
  function moments(points) {
    const n = points.length;
    const mx = points.reduce((s, p) => s + p[0], 0) / n, my = points.reduce((s, p) => s + p[1], 0) / n;
    let xx = 0, xy = 0, yy = 0;
    for (const [x, y] of points) { xx += (x - mx) ** 2; xy += (x - mx) * (y - my); yy += (y - my) ** 2; }
    return { mx, my, xx: xx / (n - 1), xy: xy / (n - 1), yy: yy / (n - 1) };
  }

  /** The same of the mixture itself. */
  function mixtureMoments(system) {
    const total = system.clusters.reduce((sum, c) => sum + c.p, 0);
    const m = { mx: 0, my: 0, xx: 0, xy: 0, yy: 0 };
    for (const c of system.clusters) { m.mx += c.p / total * c.x; m.my += c.p / total * c.y; }
    for (const c of system.clusters) {
      const w = c.p / total, dx = c.x - m.mx, dy = c.y - m.my;
      m.xx += w * (c.s ** 2 + dx * dx);
      m.xy += w * dx * dy;
      m.yy += w * (c.s ** 2 + dy * dy);
    }
    return m;
  }

  /** Frechet distance of two normal distributions: |m - m'|^2 + tr(C + C' - 2 sqrt(C C')). */
  function frechet(a, b) {
    const trace = a.xx * b.xx + 2 * a.xy * b.xy + a.yy * b.yy;
    const det = (a.xx * a.yy - a.xy ** 2) * (b.xx * b.yy - b.xy ** 2);
    const root = Math.sqrt(Math.max(0, trace + 2 * Math.sqrt(Math.max(0, det))));
    return (a.mx - b.mx) ** 2 + (a.my - b.my) ** 2 + a.xx + a.yy + b.xx + b.yy - 2 * root;
  }

  function meanDistance(a, b) {
    let sum = 0;
    for (const [x, y] of a) for (const [u, v] of b) sum += Math.hypot(x - u, y - v);
    return sum / (a.length * b.length);
  }

  /** Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'|, 0 only between equal distributions. */
  const energy = (a, b) => 2 * meanDistance(a, b) - meanDistance(a, a) - meanDistance(b, b);

  return {
    ROUGHNESS, STRATEGIES, energy, exactVelocities, field, frechet, luckOf, meanDistance, mixtureMoments, moments, posteriorLogits,
    realStates, routerLogits, shares, softmax, trajectory, velocities,
  };
})();
