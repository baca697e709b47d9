// One sample in detail: side by side, slider, blink, difference; one zoom for all pictures.

const MODES = { side: "Side by side", slider: "Slider", blink: "Blink", difference: "Difference" };
const LARGEST_ZOOM = 16;
const BLINK_MS = 600;

views.set("compare", {
  title: "Comparison",
  async draw(main) {
    const title = element("h1", {}, "Comparison");
    main.append(title);
    await loadSamples();
    const item = samples.items.find((one) => one.id === value("sample") && String(one.seed) === value("seed", "0"))
      ?? samples.items.find((one) => one.id === value("sample"));
    if (!item) {
      main.append(element("p", { class: "notice" }, "This report has no such sample."));
      return undefined;
    }
    title.textContent = item.id + (item.seed ? ` · seed ${item.seed}` : "");
    return drawComparison(main, item);
  },
});

function drawComparison(main, item) {
  const shown = chosenRows();
  const known = ["source", "target", ...shown].filter((what) => slotOf(item, what) >= 0);
  const keyOfPicture = (what) => (typeof what === "string" ? what : what.key);
  const byKey = new Map(known.map((what) => [keyOfPicture(what), what]));
  const a = byKey.get(value("a", "source")) ?? known[0];
  const b = byKey.get(value("b")) ?? known.find((what) => typeof what !== "string") ?? known.at(-1);
  const mode = value("mode") in MODES ? value("mode") : "side";
  const view = { zoom: 1, left: 0.5, top: 0.5 };
  const painters = [];
  let masked = value("mask") === "1";
  const repaint = () => painters.forEach((painter) => painter());

  const steps = element("div", { class: "buttons" }, stepButton("← Previous", -1), stepButton("Next →", 1));
  const modes = element("div", { class: "buttons", role: "group", "aria-label": "How to compare" }, Object.entries(MODES).map(([name, text], index) =>
    element("button", { type: "button", "aria-pressed": String(name === mode), title: `key ${index + 1}`, onclick: () => change({ mode: name }) }, text)));
  const maskBox = element("input", { type: "checkbox", checked: masked, onchange: () => setMask(maskBox.checked) });
  const setMask = (on) => {
    masked = on;
    maskBox.checked = on;
    keep({ mask: on ? "1" : "" });
    repaint();
  };
  const pairs = known.map((what) => [keyOfPicture(what), nameOf(what)]);
  const choosing = mode === "side" ? [] : [
    select(mode === "difference" ? "From" : "Left", pairs, keyOfPicture(a), (a) => change({ a })),
    ...(mode === "difference" ? [] : [select("Right", pairs, keyOfPicture(b), (b) => change({ b }))]),
  ];
  const gain = mode === "difference" ? select("Gain", [["1", "×1"], ["4", "×4"], ["16", "×16"]], value("gain", "4"), (gain) => change({ gain })) : null;
  const back = element("a", { class: "more", href: address("pictures", { block: value("block"), rows: value("rows") }), onclick: (event) => goBack(event) }, "All pictures");
  main.append(
    element("div", { class: "prompts" }, prompts(item)),
    element("div", { class: "bar" }, modes, choosing, gain ?? "", item.mask ? element("label", { class: "tick" }, maskBox, "Mask") : "", element("button", { type: "button", onclick: () => { Object.assign(view, { zoom: 1, left: 0.5, top: 0.5 }); repaint(); } }, "Fit"), rowPicker(change)),
  );
  const stage = element("div", { class: `stage ${mode}` });
  main.append(stage, element("div", { class: "bar" }, steps, element("button", { type: "button", onclick: () => copy(location.href, "Link") }, "Copy link"), back, element("span", { class: "quietly keys" }, "Keys: ← → samples, 1–4 mode, space swap, m mask, + − zoom, 0 fit, Esc back. Wheel zooms, dragging moves.")));

  const place = () => ({ zoom: view.zoom, left: view.left, top: view.top });
  const pane = (name, draws) => {
    const canvas = element("canvas", { role: "img", "aria-label": name });
    const painter = async () => {
      const found = await Promise.all(draws.map((what) => find(item, what, true)));
      const mask = masked ? await findMask(item) : null;
      paintAll(canvas, found, mask, place(), mode === "difference" && draws.length > 1 ? Number(value("gain", "4")) : 0);
    };
    painters.push(painter);
    steer(canvas, view, repaint);
    return element("figure", { class: "pane" }, canvas, element("figcaption", {}, name));
  };

  let swap = () => {};
  let timer = null;
  if (mode === "side") {
    stage.append(...known.map((what) => pane(nameOf(what), [what])));
  } else if (mode === "difference") {
    const others = known.filter((what) => what !== a);
    stage.append(...others.map((what) => pane(`${nameOf(what)} − ${nameOf(a)}`, [what, a])));
  } else if (mode === "slider") {
    swap = drawSlider(stage, pane(nameOf(a), [a]), pane(nameOf(b), [b]));
  } else {
    const [first, second] = [pane(nameOf(a), [a]), pane(nameOf(b), [b])];
    second.hidden = true;
    stage.append(first, second);
    swap = () => {
      [first.hidden, second.hidden] = [second.hidden, first.hidden];
      repaint();
    };
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const run = element("button", { type: "button", onclick: () => toggle() }, "");
    const toggle = () => {
      timer = timer ? clearInterval(timer) : setInterval(swap, BLINK_MS);
      run.textContent = timer ? "Stop" : "Start blinking";
    };
    stage.append(run);
    still ? (run.textContent = "Start blinking") : toggle();
  }
  repaint();
  drawScores(main, item, shown);

  const keys = (event) => {
    if (event.target.closest("input, select, textarea, summary") || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      ArrowLeft: () => step(-1), ArrowRight: () => step(1), Escape: () => goBack(event), m: () => item.mask && setMask(!masked),
      " ": swap, "+": () => zoomBy(view, 1.5), "-": () => zoomBy(view, 1 / 1.5), 0: () => zoomBy(view, 0),
    };
    Object.keys(MODES).forEach((name, index) => (acts[index + 1] = () => change({ mode: name })));
    const act = acts[event.key];
    if (!act || (event.key === " " && event.target.closest("button, a"))) return;
    event.preventDefault();
    act();
    repaint();
  };
  document.addEventListener("keydown", keys);
  window.addEventListener("resize", repaint);

  function stepButton(text, by) {
    return element("button", { type: "button", onclick: () => step(by) }, text);
  }
  function step(by) {
    const order = compareOrder ?? samples.items.filter((one) => one.block.join() === item.block.join());
    const next = order[order.indexOf(item) + by];
    if (next) change({ sample: next.id, seed: next.seed || "" });
    else say(by > 0 ? "That was the last sample" : "That was the first sample");
  }

  return () => {
    document.removeEventListener("keydown", keys);
    window.removeEventListener("resize", repaint);
    clearInterval(timer);
  };
}

function goBack(event) {
  event.preventDefault();
  if (compareOrder) history.back();
  else go("pictures");
}

function zoomBy(view, factor) {
  view.zoom = factor ? Math.min(LARGEST_ZOOM, Math.max(1, view.zoom * factor)) : 1;
}

// One wheel, one drag, for all panes.
function steer(canvas, view, repaint) {
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(view, event.deltaY < 0 ? 1.2 : 1 / 1.2);
    repaint();
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    if (view.zoom === 1) return;
    canvas.setPointerCapture(event.pointerId);
    const moved = (move) => {
      const share = 1 / (canvas.clientWidth * (view.zoom - 1));
      view.left = Math.min(1, Math.max(0, view.left - move.movementX * share));
      view.top = Math.min(1, Math.max(0, view.top - move.movementY * share));
      repaint();
    };
    canvas.addEventListener("pointermove", moved);
    canvas.addEventListener("pointerup", () => canvas.removeEventListener("pointermove", moved), { once: true });
  });
}

// The first picture, or its amplified difference to the second; the mask over it.
function paintAll(canvas, [first, second], mask, place, gain) {
  if (!canvas.isConnected || !canvas.clientWidth) return;
  paint(canvas, first, place);
  const brush = canvas.getContext("2d");
  const side = canvas.width;
  const over = (found) => {
    const part = found.size / place.zoom;
    brush.drawImage(found.image, found.x + place.left * (found.size - part), found.y + place.top * (found.size - part), part, part, 0, 0, side, side);
  };
  if (gain) {
    brush.globalCompositeOperation = "difference";
    over(second);
    brush.globalCompositeOperation = "lighter";
    for (let doubled = 1; doubled < gain; doubled *= 2) brush.drawImage(canvas, 0, 0);
    brush.globalCompositeOperation = "source-over";
  }
  if (mask) {
    brush.imageSmoothingEnabled = false;
    over(mask);
  }
}

// Two panes on top of each other; a range input moves the edge, so keys work too.
function drawSlider(stage, left, right) {
  const edge = element("input", { type: "range", min: 0, max: 100, value: 50, step: 0.5, "aria-label": "Edge between the two pictures" });
  const both = element("div", { class: "both" }, left, right, element("span", { class: "edge", "aria-hidden": "true" }));
  const move = () => both.style.setProperty("--edge", `${edge.value}%`);
  edge.addEventListener("input", move);
  both.addEventListener("pointermove", (event) => {
    if (event.buttons && event.shiftKey === false && event.target.closest(".both")) {
      const box = both.getBoundingClientRect();
      edge.value = ((event.clientX - box.left) / box.width) * 100;
      move();
    }
  });
  move();
  stage.append(both, edge);
  return () => {
    edge.value = Number(edge.value) > 50 ? 0 : 100;
    move();
  };
}

// Scores of this sample, and every field of the settings that made the pictures.
async function drawScores(main, item, shown) {
  const here = shown.filter((row) => stateOf(row, item) !== ".");
  const shownColumns = chosenColumns();
  const holder = element("section", {});
  main.append(holder);
  const tables = await Promise.all(shownColumns.map(loadScores));
  const body = here.map((row) => {
    const cells = shownColumns.map((column, i) => {
      const v = toNumber(tables[i][row.index][item.index]);
      const all = here.map((other) => toNumber(tables[i][other.index][item.index])).filter((x) => !Number.isNaN(x));
      const best = !row.anchor && here.length > 1 && isRanked(column) && goodness(v, column) === Math.max(...all.map((x) => goodness(x, column)));
      return element("td", { class: `number${best ? " best" : ""}` }, score(v, column));
    });
    return element("tr", {}, element("th", { scope: "row" }, element("span", { class: "name" }, swatch(row), row.method, element("span", { class: "setting" }, breakable(settingName(row))))), cells);
  });
  holder.append(
    element("div", { class: "bar" }, element("h2", {}, "Scores of this sample"), columnPicker()),
    element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Scores of this sample" },
      element("table", { class: "main plain", "aria-label": "Scores of this sample" }, element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "first" }, "Method and setting"), shownColumns.map((column) => element("th", { scope: "col", class: "number" }, heading(column), element("small", {}, ` ${column.unit} ${arrow(column)}`))))), element("tbody", {}, body))),
    settingsTable(here),
  );
}

function settingsTable(here) {
  const names = [...new Set(here.flatMap((row) => Object.keys(row.setting)))];
  if (!names.length) return "";
  const differs = (name) => new Set(here.filter((row) => name in row.setting).map((row) => JSON.stringify(row.setting[name]))).size > 1;
  return element(
    "details",
    { class: "settings" },
    element("summary", {}, "Settings: attention windows, guidance and the rest"),
    element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Settings" },
      element("table", { class: "main plain", "aria-label": "Settings" }, element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "first" }, "Field"), here.map((row) => element("th", { scope: "col", class: "number" }, rowName(row))))), element("tbody", {}, names.map((name) => element("tr", { class: differs(name) ? "differs" : "" }, element("th", { scope: "row" }, name), here.map((row) => element("td", { class: "number" }, name in row.setting ? JSON.stringify(row.setting[name]) : "–"))))))),
  );
}
