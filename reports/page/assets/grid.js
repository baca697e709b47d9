// Pictures: items down, rows across; only what is on the screen exists.

const MARGIN_LINES = 2;

views.set("pictures", {
  title: "Pictures",
  async draw(main) {
    main.append(element("h1", {}, "Pictures"));
    const notice = element("p", { class: "quietly" }, "Loading…");
    main.append(notice);
    await loadSamples();
    notice.remove();
    const bar = element("div", { class: "bar filters" });
    const holder = element("div", {});
    main.append(bar, holder);
    const picked = await visibleItems();
    bar.append(...filterFields(), element("span", { class: "quietly", role: "status" }, count(picked.length, "sample")));
    return drawGrid(holder, picked);
  },
});

const SIZES = { fit: "to fit", 64: "tiny", 96: "small", 128: "medium", 200: "large" };

function sizeField() {
  return select("Size", Object.entries(SIZES).map(([size, text]) => [size, text]), value("size", "fit"), (size) => change({ size }));
}

function filterFields() {
  const word = element("input", { type: "search", value: value("word"), placeholder: "word of a prompt", onchange: () => change({ word: word.value }) });
  const groups = Object.entries(samples.groups).map(([name, list]) => {
    const known = [...new Set(list)].filter(Boolean).sort();
    const pairs = [["", "all"], ...known.map((group) => [group, readable(group)])];
    return known.length > 1 ? select(sentence(name), pairs, value(`in-${name}`), (group) => change({ [`in-${name}`]: group })) : "";
  });
  const orders = [["", "as in the benchmark"], ["up", "metric, lowest first"], ["down", "metric, highest first"], ["apart", "disagreement of the rows"]];
  const limit = (name, text) => {
    const field = element("input", { type: "number", step: "any", class: "narrow", value: value(name), onchange: () => change({ [name]: field.value }) });
    return element("label", { class: "field" }, element("span", {}, text), field);
  };
  const states = [["", "all"], ["f", "some failed"], ["w", "some warned"]];
  const further = ["metric", "by", "least", "most", "state"].some((name) => value(name));
  return [
    blockField() ?? "",
    rowPicker(change),
    sizeField(),
    element("label", { class: "field" }, element("span", {}, "Word"), word),
    ...groups,
    select("Sort", orders, value("by"), (by) => change({ by })),
    element(
      "details",
      { class: "further", open: further },
      element("summary", {}, "Metric and state"),
      element(
        "div",
        { class: "bar" },
        select("Metric", columns.map((column) => [column.key, heading(column)]), metricKey(), (metric) => change({ metric })),
        limit("least", "From"),
        limit("most", "to"),
        select("State", states, value("state"), (state) => change({ state })),
        element("button", { type: "button", onclick: () => go("pictures") }, "Clear all"),
      ),
    ),
  ];
}

const sentence = (word) => readable(word).replace(/^./, (first) => first.toUpperCase());
const metricKey = () => value("metric", report.axes[1]);

// Items after filters and sorting; the metric of an item is its mean over the rows shown.
async function visibleItems() {
  await loadSamples();
  const shown = chosenRows();
  const [benchmark, split] = JSON.parse(chosenBlock());
  const word = value("word").toLowerCase();
  const groups = Object.entries(samples.groups).filter(([name]) => value(`in-${name}`));
  let items = samples.items.filter(
    (item) =>
      item.block[0] === benchmark && item.block[1] === split &&
      (!word || `${item.source} ${item.target} ${item.id}`.toLowerCase().includes(word)) &&
      groups.every(([name, list]) => list[item.index] === value(`in-${name}`)) &&
      (!value("state") || shown.some((row) => stateOf(row, item) === value("state"))) &&
      shown.some((row) => stateOf(row, item) !== "."),
  );
  const [by, least, most] = [value("by"), value("least"), value("most")];
  if (!by && least === "" && most === "") return items;
  const column = columnOf.get(metricKey());
  const table = await loadScores(column);
  const values = (item) => shown.map((row) => toNumber(table[row.index][item.index])).filter((v) => !Number.isNaN(v));
  const key = new Map(items.map((item) => [item, by === "apart" ? spread(values(item)) : average(values(item))]));
  if (least !== "" || most !== "") {
    items = items.filter((item) => values(item).some((v) => (least === "" || v >= Number(least)) && (most === "" || v <= Number(most))));
  }
  if (!by) return items;
  const sign = by === "up" ? 1 : -1;
  return items.sort((a, b) => {
    const [x, y] = [key.get(a), key.get(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return x === y ? a.index - b.index : sign * (x < y ? -1 : 1);
  });
}

const average = (list) => (list.length ? list.reduce((sum, v) => sum + v, 0) / list.length : NaN);
const spread = (list) => (list.length > 1 ? Math.max(...list) - Math.min(...list) : NaN);

function drawGrid(holder, items) {
  if (!items.length) {
    holder.append(element("p", { class: "notice" }, "No sample matches. "), element("button", { type: "button", onclick: () => go("pictures", {}) }, "Clear the filters"));
    return undefined;
  }
  const shown = chosenRows();
  const heads = [...(items.some((item) => item.stems > 0) ? ["source"] : []), ...(items.some((item) => item.stems > 1) ? ["target"] : []), ...shown];
  const narrow = window.matchMedia("(max-width: 700px)").matches;
  const tile = tileSize(holder.clientWidth, heads.length, narrow);
  const line = narrow ? tile + 74 : Math.max(tile + 12, 104);
  const grid = element("div", { class: `grid${narrow ? " narrow" : ""}`, role: "grid", "aria-label": "Pictures", "aria-rowcount": items.length + 1, tabindex: "-1", style: `--tile:${tile}px;--pitch:${line}px;--columns:${heads.length}` });
  const top = element("div", { class: "line heads", role: "row" }, element("div", { class: "about", role: "columnheader" }, "Prompt"), heads.map((what) => element("div", { class: "head", role: "columnheader" }, headOf(what))));
  const body = element("div", { class: "body", style: `height:${items.length * line}px` });
  grid.append(top, body);
  holder.append(grid);

  const drawn = new Map();
  let active = [Math.min(items.length - 1, Math.max(0, Number(value("line", "0")) || 0)), 0];
  const update = () => {
    const first = Math.max(0, Math.floor(grid.scrollTop / line) - MARGIN_LINES);
    const last = Math.min(items.length, Math.ceil((grid.scrollTop + grid.clientHeight) / line) + MARGIN_LINES);
    for (const [index, node] of drawn) {
      if (index < first || index >= last) {
        node.remove();
        drawn.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) {
      if (!drawn.has(index)) {
        const node = lineOf(items[index], index, heads, items, active);
        drawn.set(index, node);
        body.append(node);
        paintLine(node, items[index], heads);
      }
    }
  };
  const focus = () => {
    const [index, column] = active;
    const at = index * line;
    if (at < grid.scrollTop) grid.scrollTop = at;
    const room = grid.clientHeight - top.offsetHeight;
    if (at + line > grid.scrollTop + room) grid.scrollTop = at + line - room;
    update();
    for (const tile of body.querySelectorAll("a.tile")) tile.tabIndex = -1;
    const tile = drawn.get(index)?.querySelectorAll("a.tile")[column];
    if (tile) {
      tile.tabIndex = 0;
      tile.focus();
      keep({ line: index || "" });
    }
  };
  grid.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(grid.clientHeight / line) - 1);
    const steps = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1], PageDown: [page, 0], PageUp: [-page, 0], Home: [-items.length, 0], End: [items.length, 0] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    active = [
      Math.min(items.length - 1, Math.max(0, active[0] + step[0])),
      Math.min(heads.length - 1, Math.max(0, active[1] + step[1])),
    ];
    focus();
  });
  grid.addEventListener("focusin", (event) => {
    const tile = event.target.closest("a.tile");
    if (tile) active = [Number(tile.dataset.line), Number(tile.dataset.column)];
  });
  grid.addEventListener("scroll", () => requestAnimationFrame(update), { passive: true });
  const observer = new ResizeObserver(update);
  observer.observe(grid);
  if (!narrow) grid.style.height = `${window.innerHeight - grid.getBoundingClientRect().top - window.scrollY - 20}px`;
  grid.scrollTop = active[0] * line;
  update();
  return () => observer.disconnect();
}

// As large as lets all columns fit, within reason; or as the reader says.
function tileSize(room, heads, narrow) {
  const asked = Number(value("size"));
  if (asked) return asked;
  if (narrow) return Math.max(72, Math.min(110, Math.floor((room - 30) / Math.min(heads, 4)) - 6));
  return Math.max(88, Math.min(190, Math.floor((room - 300) / heads) - 6));
}

function headOf(what) {
  if (what === "source") return "source";
  if (what === "target") return "true edit";
  return [element("span", {}, swatch(what), what.method), element("small", {}, what.anchor ? "" : settingName(what))];
}

const nameOf = (what) => (what === "source" ? "source" : what === "target" ? "true edit" : rowName(what));

function lineOf(item, index, heads, items, active) {
  const group = samples.groups.category?.[item.index];
  const about = element("div", { class: "about", role: "rowheader" }, element("p", { class: "quietly" }, group ? `${readable(group)} · ` : "", `${item.id}${item.seed ? ` · seed ${item.seed}` : ""}`), prompts(item));
  const tiles = heads.map((what, column) => {
    const letter = typeof what === "string" ? (slotOf(item, what) < 0 ? "." : "k") : stateOf(what, item);
    const words = { f: "failed", x: "picture gone", ".": "–" };
    const inside = letter in words ? element("span", { class: `hole${letter === "f" ? " failed" : ""}` }, words[letter]) : element("canvas", {});
    return element(
      "a",
      {
        class: `tile${letter === "w" ? " warned" : ""}`,
        href: compareAddress(item, heads.filter((head) => typeof head !== "string"), what),
        tabindex: index === active[0] && column === active[1] ? 0 : -1,
        "data-line": index,
        "data-column": column,
        "aria-label": `${nameOf(what)}, ${item.id}: ${item.target}${letter === "w" ? ", warned" : letter === "f" ? ", failed" : ""}`,
        onclick: () => (compareOrder = items),
        title: nameOf(what),
      },
      inside,
    );
  });
  return element("div", { class: "line", role: "row", "aria-rowindex": index + 2, style: `top:calc(${index} * var(--pitch))` }, about, tiles.map((tile) => element("div", { role: "gridcell" }, tile)));
}

function paintLine(node, item, heads) {
  node.querySelectorAll("a.tile").forEach((tile, column) => {
    const canvas = tile.querySelector("canvas");
    if (!canvas) return;
    find(item, heads[column], item.tile * 1.5 < canvas.clientWidth * window.devicePixelRatio).then(
      (found) => node.isConnected && paint(canvas, found),
      () => canvas.replaceWith(element("span", { class: "hole" }, "picture gone")),
    );
  });
}

let compareOrder = null;

function compareAddress(item, shown, what) {
  return address("compare", {
    block: value("block"),
    sample: item.id,
    seed: item.seed || "",
    rows: shown.map((row) => row.key).join(","),
    b: typeof what === "string" ? "" : what.key,
  });
}
