// Ground truth beside predictions. Verdicts come with the data, so that moving the score slider only filters.

const viewers = [];

function viewer(box, view) {
  const many = view.runs.length > 1;
  const state = { image: 0, threshold: view.runs[0].threshold, runs: many ? [0, 1] : [0], masks: true, labels: true };
  const withMasks = view.images.some(i => i.truth.some(o => o.m) || i.found.some(f => f.some(o => o.m)));
  const nameOf = r => data.runs[view.runs[r].run].name;

  const strip = make("div", { class: "strip", role: "group", "aria-label": "Images" });
  const thumbs = view.images.map((image, i) => {
    const button = make("button", { type: "button", title: image.name, onclick: () => show(i), onkeydown: e => step(e) },
      make("img", { src: image.source, alt: image.worst ? `${image.name}, among the worst` : image.name, loading: "lazy" }));
    if (image.worst) button.append(make("span", { class: "mark", "aria-hidden": "true" }, "worst"));
    return button;
  });
  strip.append(...thumbs);

  const value = make("output");
  const slider = make("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: state.threshold,
    oninput: e => { state.threshold = Number(e.target.value); update(); } });
  const controls = make("div", { class: "controls" }, make("label", { class: "slider" }, make("span", {}, "Score at least"), slider, value));
  if (many) {
    const names = view.runs.map((_, r) => nameOf(r));
    controls.append(choice("Run", names, 0, r => { state.runs[0] = r; update(); }),
      choice("beside", ["none", ...names], 2, r => { state.runs = r ? [state.runs[0], r - 1] : [state.runs[0]]; update(); }));
  }
  controls.append(switchBox("labels", true, on => { state.labels = on; update(); }));
  if (withMasks) controls.append(switchBox("masks", true, on => { state.masks = on; update(); }));
  const total = make("p", { class: "total", "aria-live": "polite" });
  const title = make("h3");
  const panels = make("div", { class: "panels" });
  box.append(strip, controls, total, title, panels);

  function step(event) {
    const to = { ArrowRight: state.image + 1, ArrowLeft: state.image - 1, Home: 0, End: view.images.length - 1 }[event.key];
    if (to === undefined || !view.images[to]) return;
    event.preventDefault();
    show(to);
    thumbs[to].focus();
  }

  function show(i) {
    state.image = i;
    update();
    const thumb = thumbs[i];
    strip.scrollTo({ left: thumb.offsetLeft - strip.offsetLeft - (strip.clientWidth - thumb.clientWidth) / 2 });
  }

  const shownOf = (image, r) => image.found[r].filter(o => o.s >= state.threshold);

  function update() {
    const image = view.images[state.image];
    value.textContent = state.threshold.toFixed(2);
    slider.setAttribute("aria-valuetext", state.threshold.toFixed(2));
    thumbs.forEach((t, i) => t.toggleAttribute("aria-current", i === state.image));
    title.textContent = image.name;
    total.replaceChildren(...state.runs.map(r => {
      const [found, wrong] = view.runs[r].counts[Math.min(99, Math.round(state.threshold * 100))];
      const share = (a, b) => b ? (100 * a / b).toFixed(1) + "\u00a0%" : "–";
      return make("span", {}, `${many ? nameOf(r) + ", all" : "All"} ${view.total} images: precision `, make("b", {}, share(found, found + wrong)),
        ", recall ", make("b", {}, share(found, view.objects)));
    }));
    const hits = shownOf(image, state.runs[0]).filter(o => o.h >= 0).map(o => o.h);
    const objects = image.truth.filter(t => t.s > 0).length;
    const truth = image.truth.map((t, i) => ({ ...t, kind: t.s === 0 ? "crowd" : hits.includes(i) ? "good" : "bad", text: view.classes[t.c] }));
    const figures = [panel(image, "Truth", count(objects, "object"), truth)];
    for (const r of state.runs) {
      const found = shownOf(image, r);
      const good = found.filter(o => o.h >= 0).length, bad = found.filter(o => o.h === -1).length;
      const drawn = found.map(o => ({ ...o, kind: o.h >= 0 ? "good" : o.h === -1 ? "bad" : "crowd", text: `${view.classes[o.c]} ${o.s.toFixed(2)}` }));
      figures.push(panel(image, many ? nameOf(r) : "Prediction", `${good} found, ${objects - good} missed, ${count(bad, "false alarm")}`, drawn.reverse()));
    }
    panels.replaceChildren(...figures);
    for (const svg of panels.querySelectorAll("svg")) label(svg);
  }

  function panel(image, name, text, objects) {
    const [w, h] = image.size;
    const svg = draw("svg", { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `${image.name}: ${name}: ${text}` },
      draw("image", { href: image.source, width: w, height: h }));
    for (const o of state.masks ? objects.filter(o => o.m) : []) {
      let d = "";
      for (let i = 0; i < o.m.length; i += 3) d += `M${o.m[i]} ${o.m[i + 1]}h${o.m[i + 2]}v1h-${o.m[i + 2]}z`;
      svg.append(draw("path", { class: `mask ${o.kind}`, d, transform: `scale(${w / image.page_size[0]} ${h / image.page_size[1]})` }));
    }
    for (const o of objects) {
      const [x, y, bw, bh] = o.b;
      svg.append(draw("rect", { class: "halo", x, y, width: bw, height: bh }),
        draw("rect", { class: `box ${o.kind}`, x, y, width: bw, height: bh }, draw("title", {}, o.text)));
    }
    svg.objects = objects;
    return make("figure", {}, make("figcaption", {}, make("b", {}, name), ` ${text}`), svg);
  }

  /** Names on the boxes, of one size on the screen whatever the image's. */
  function label(svg) {
    svg.querySelectorAll(".label").forEach(l => l.remove());
    if (!state.labels || !svg.clientWidth) return;
    const unit = svg.viewBox.baseVal.width / svg.clientWidth;
    const size = 11 * unit, height = 14 * unit;
    for (const o of svg.objects) {
      const text = draw("text", { "font-size": size }, o.text);
      const group = draw("g", { class: `label ${o.kind}` }, text);
      svg.append(group);
      const width = text.getComputedTextLength() + 6 * unit;
      const x = Math.max(0, Math.min(o.b[0], svg.viewBox.baseVal.width - width));
      const y = o.b[1] >= height ? o.b[1] - height : o.b[1];
      text.setAttribute("x", x + 3 * unit);
      text.setAttribute("y", y + 10.5 * unit);
      group.prepend(draw("rect", { x, y, width, height, rx: 2 * unit }));
    }
  }

  let width = 0;
  new ResizeObserver(() => {
    if (panels.clientWidth === width) return;
    width = panels.clientWidth;
    for (const svg of panels.querySelectorAll("svg")) label(svg);
  }).observe(panels);
  update();
  return { show, box };
}

document.querySelectorAll("[data-view]").forEach(box => viewers.push(data.views[box.dataset.view].images.length ? viewer(box, data.views[box.dataset.view]) : null));
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    const v = viewers[button.dataset.show];
    v.show(Number(button.dataset.image));
    v.box.scrollIntoView();
    v.box.querySelector("[aria-current]").focus({ preventScroll: true });
  });
}
