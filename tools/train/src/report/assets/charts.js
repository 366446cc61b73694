// Curves as SVG, with a cursor that reads values out: pointer, touch, or arrow keys.

const PAD = { left: 56, right: 14, top: 10, bottom: 36 };
const HEIGHT = 250;

/** Round numbers between two values. */
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find(m => m * power >= raw);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) out.push(Number((i * step).toPrecision(12)));
  return out;
}

function logTicks(low, high) {
  const out = [];
  const decades = Math.log10(high / low);
  for (let e = Math.floor(Math.log10(low)); 10 ** e <= high; e++) {
    for (const m of decades > 3 ? [1] : decades > 1 ? [1, 3] : [1, 2, 3, 5, 7]) {
      const v = Number((m * 10 ** e).toPrecision(6));
      if (v >= low && v <= high) out.push(v);
    }
  }
  return out;
}

/** Index of the point nearest to x. */
function nearest(points, x) {
  let low = 0, high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] < x) low = middle; else high = middle;
  }
  return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? low : high;
}

function chart(figure, spec) {
  let quantity = 0, log = false, cursor = null, scale = null;
  const stage = make("div", { class: "stage" });
  const tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" });
  const controls = make("div", { class: "controls" });
  if (spec.quantities.length > 1) {
    controls.append(choice("Show", spec.quantities.map(q => q.name), 0, i => { quantity = i; cursor = null; redraw(); }));
  } else {
    controls.append(make("span", { class: "what" }, spec.quantities[0].name));
  }
  controls.append(switchBox("log", false, on => { log = on; redraw(); }));
  figure.append(controls, stage);

  const lines = () => spec.quantities[quantity].lines.filter(l => !hidden.has(l.run));

  function redraw() {
    const width = Math.max(stage.clientWidth, 200);
    const shown = lines();
    const points = shown.flatMap(l => l.points).filter(p => !log || p[1] > 0);
    const svg = draw("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, tabindex: 0, role: "slider",
      "aria-label": `${spec.title}: ${spec.quantities[quantity].name}`, "aria-orientation": "horizontal",
      onkeydown: key, onblur: () => move(null), onpointermove: point, onpointerdown: point, onpointerleave: () => move(null) });
    stage.replaceChildren(svg, tip);
    if (points.length === 0) {
      scale = null;
      svg.append(draw("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "nothing to show"));
      return;
    }
    scale = scales(points, width);
    axes(svg, width);
    for (const line of shown) trace(svg, line);
    svg.append(draw("g", { class: "cursor" }));
    svg.setAttribute("aria-valuemin", scale.x0);
    svg.setAttribute("aria-valuemax", scale.x1);
    move(cursor);
  }

  function scales(points, width) {
    const xs = points.map(p => p[0]), ys = points.map(p => p[1]);
    const least = (a, start) => a.reduce((m, v) => Math.min(m, v), start), most = (a, start) => a.reduce((m, v) => Math.max(m, v), start);
    let x0 = least(xs, Infinity), x1 = most(xs, -Infinity), y0 = least(ys, Infinity), y1 = most(ys, -Infinity);
    x0 = Math.min(x0, 0);
    if (x1 === x0) x1 = x0 + 1;
    if (log) { y0 /= 1.2; y1 *= 1.2; } else {
      // Zero is part of the picture where it is not far away.
      if (y0 > 0 && y0 < 0.5 * y1) y0 = 0;
      const air = (y1 - y0) * 0.06 || Math.abs(y1) * 0.1 || 1;
      y1 += air;
      if (y0 !== 0) y0 -= air;
    }
    const w = width - PAD.left - PAD.right, h = HEIGHT - PAD.top - PAD.bottom;
    const share = log ? y => Math.log(y / y0) / Math.log(y1 / y0) : y => (y - y0) / (y1 - y0);
    return { x0, x1, y0, y1, x: v => PAD.left + (v - x0) / (x1 - x0) * w, y: v => PAD.top + (1 - share(v)) * h,
      back: px => x0 + (px - PAD.left) / w * (x1 - x0) };
  }

  function axes(svg, width) {
    const bottom = HEIGHT - PAD.bottom, right = width - PAD.right;
    for (const v of log ? logTicks(scale.y0, scale.y1) : ticks(scale.y0, scale.y1, 5)) {
      const y = scale.y(v);
      svg.append(draw("line", { class: "grid", x1: PAD.left, x2: right, y1: y, y2: y }),
        draw("text", { x: PAD.left - 8, y: y + 4, "text-anchor": "end" }, short(v)));
    }
    for (const v of ticks(scale.x0, scale.x1, Math.min(8, width / 70))) {
      const x = scale.x(v);
      svg.append(draw("line", { class: "tick", x1: x, x2: x, y1: bottom, y2: bottom + 4 }),
        draw("text", { x, y: bottom + 17, "text-anchor": "middle" }, short(v)));
    }
    svg.append(draw("line", { class: "axis", x1: PAD.left, x2: right, y1: bottom, y2: bottom }),
      draw("text", { class: "title", x: (PAD.left + right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, spec.x));
  }

  function trace(svg, line) {
    const colour = colourOf(line.run);
    const points = line.points.filter(p => !log || p[1] > 0).map(([x, y]) => [scale.x(x).toFixed(1), scale.y(y).toFixed(1)]);
    svg.append(draw("polyline", { class: "curve", points: points.map(p => p.join(",")).join(" "), stroke: colour, "stroke-dasharray": dashOf(line.run) }));
    if (points.length <= 30) for (const [cx, cy] of points) svg.append(draw("circle", { cx, cy, r: 2.5, fill: colour }));
  }

  function point(event) {
    if (scale) move(scale.back(event.clientX - stage.getBoundingClientRect().left));
  }

  function key(event) {
    const xs = [...new Set(lines().flatMap(l => l.points.map(p => p[0])))].sort((a, b) => a - b);
    if (!scale || xs.length === 0) return;
    const at = cursor === null ? -1 : nearest(xs.map(x => [x]), cursor);
    const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at < 0 ? xs.length - 1 : at - 1, ArrowDown: at - 1, Home: 0, End: xs.length - 1,
      PageUp: at + 10, PageDown: at - 10 }[event.key];
    if (event.key === "Escape") move(null);
    if (to === undefined) return;
    event.preventDefault();
    move(xs[Math.min(Math.max(to, 0), xs.length - 1)]);
  }

  /** Reads the curves out at x, or nowhere. */
  function move(x) {
    cursor = x;
    const svg = stage.firstChild, group = svg.querySelector(".cursor");
    tip.hidden = x === null || !scale;
    if (!group) return;
    group.replaceChildren();
    if (tip.hidden) return;
    const reading = lines().map(l => ({ run: l.run, at: l.points[nearest(l.points, x)] })).filter(r => !log || r.at[1] > 0);
    if (reading.length === 0) { tip.hidden = true; return; }
    // The cursor stands on a point of some line.
    const on = reading.reduce((a, b) => Math.abs(b.at[0] - x) < Math.abs(a.at[0] - x) ? b : a).at[0];
    const px = scale.x(on);
    group.append(draw("line", { x1: px, x2: px, y1: PAD.top, y2: HEIGHT - PAD.bottom }));
    for (const r of reading) group.append(draw("circle", { cx: scale.x(r.at[0]), cy: scale.y(r.at[1]), r: 4.5, fill: colourOf(r.run) }));
    reading.sort((a, b) => b.at[1] - a.at[1]);
    const row = r => make("div", {}, make("i", { style: `background:${colourOf(r.run)}` }), make("b", {}, short(r.at[1])),
      data.runs.length > 1 ? ` ${data.runs[r.run].name}` : "");
    tip.replaceChildren(make("div", { class: "at" }, `${spec.x} ${short(on)}`), ...reading.map(row));
    const room = stage.clientWidth - tip.offsetWidth;
    tip.style.left = `${Math.max(0, Math.min(px + 12 > room ? px - tip.offsetWidth - 12 : px + 12, room))}px`;
    svg.setAttribute("aria-valuenow", on);
    svg.setAttribute("aria-valuetext", `${spec.x} ${short(on)}: ` + reading.map(r => `${data.runs[r.run].name} ${short(r.at[1])}`).join(", "));
  }

  redraws.push(redraw);
  let width = 0;
  new ResizeObserver(() => { if (stage.clientWidth !== width) { width = stage.clientWidth; redraw(); } }).observe(stage);
  redraw();
}

for (const figure of document.querySelectorAll("[data-chart]")) chart(figure, data.charts[figure.dataset.chart]);
