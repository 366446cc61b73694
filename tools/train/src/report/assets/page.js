"use strict";
// Helpers of the other parts, the theme, and which runs are shown.

const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = 7;

/** An element: name, attributes, children (elements or text). */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same for SVG. */
function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

/** A drop-down list of names; `change` is told the chosen index. */
function choice(label, names, chosen, change) {
  const options = names.map((name, i) => make("option", { value: i, selected: i === chosen }, name));
  return make("label", {}, make("span", {}, label),
    make("select", { onchange: e => change(Number(e.target.value)) }, ...options));
}

/** A check box. */
function switchBox(label, on, change) {
  return make("label", { class: "check" }, make("input", { type: "checkbox", checked: on, onchange: e => change(e.target.checked) }), label);
}

/** A number as short as it can be told. */
function short(v) {
  if (v === 0) return "0";
  const size = Math.abs(v);
  if (size >= 1e6 || size < 1e-4) return v.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(v.toPrecision(4)));
}

/** "1 object", "2 objects". */
const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

const colourOf = run => `var(--c${data.runs[run].colour % COLOURS})`;
/** Beyond the palette lines are told apart by dashes. */
const dashOf = run => ["", "7 4", "2 3"][Math.floor(data.runs[run].colour / COLOURS) % 3];

const hidden = new Set();
const redraws = [];

{
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const tell = () => { button.textContent = dark() ? "Light" : "Dark"; button.title = `Switch to ${dark() ? "light" : "dark"} colours`; };
  button.hidden = false;
  button.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; tell(); });
  system.addEventListener("change", tell);
  tell();

  for (const dot of document.querySelectorAll(".dot")) dot.style.setProperty("--dot", `var(--c${dot.dataset.colour % COLOURS})`);

  // One entry a colour: the seeds of a row come and go together.
  const legend = document.getElementById("legend");
  const colours = [...new Set(data.runs.map(r => r.colour))];
  for (const colour of legend ? colours : []) {
    const runs = data.runs.map((_, i) => i).filter(i => data.runs[i].colour === colour);
    const name = data.runs[runs[0]].name.replace(runs.length > 1 ? /, seed \d+$/ : /$^/, "");
    const box = switchBox("", true, on => {
      for (const run of runs) on ? hidden.delete(run) : hidden.add(run);
      for (const redraw of redraws) redraw();
    });
    const sample = draw("svg", { width: 26, height: 10, "aria-hidden": "true" },
      draw("line", { x1: 1, x2: 25, y1: 5, y2: 5, stroke: colourOf(runs[0]), "stroke-width": 3, "stroke-dasharray": dashOf(runs[0]) }));
    box.append(sample, name);
    legend.append(box);
  }
}
