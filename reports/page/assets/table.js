// The main table: means with intervals, sorted by the reader's click, anchors set apart.

const COST = [
  { key: "n", title: "n", hint: "edits with a picture", of: (row) => row.n },
  { key: "nfe", title: "NFE", hint: "U-Net rows to invert + edit a sample", of: (row) => row.nfe[0] + row.nfe[1] },
  { key: "seconds", title: "Seconds", hint: "median seconds of an edit", of: (row) => row.seconds },
];
const MOST_AT_FIRST = { preservation: 2, editing: 2, truth: 2, quality: 2 };

function columnsAtFirst() {
  const shown = new Set(report.axes);
  for (const [group, most] of Object.entries(MOST_AT_FIRST)) {
    const alike = columns.filter((column) => column.group === group);
    const kept = alike.filter((column) => shown.has(column.key));
    const more = alike.filter((column) => !shown.has(column.key)).slice(0, Math.max(0, most - kept.length));
    for (const column of more) shown.add(column.key);
  }
  return shown;
}

function chosenColumns() {
  const asked = new Set(value("columns").split(","));
  const chosen = columns.filter((column) => asked.has(column.key));
  const shown = chosen.length ? new Set(chosen.map((column) => column.key)) : columnsAtFirst();
  const groups = [...new Set(columns.map((column) => column.group))];
  return columns
    .filter((column) => shown.has(column.key))
    .sort((a, b) => groups.indexOf(a.group) - groups.indexOf(b.group) || a.index - b.index);
}

function columnPicker() {
  const shown = new Set(chosenColumns().map((column) => column.key));
  const boxes = columns.map((column) => {
    const box = element("input", {
      type: "checkbox",
      checked: shown.has(column.key),
      onchange: () => {
        box.checked ? shown.add(column.key) : shown.delete(column.key);
        change({ columns: [...shown].join(",") });
      },
    });
    return element("label", { class: "tick" }, box, element("span", {}, withUnit(column)));
  });
  const all = element("button", { type: "button", onclick: () => change({ columns: columns.map((c) => c.key).join(",") }) }, "All");
  const few = element("button", { type: "button", onclick: () => change({ columns: "" }) }, "The usual");
  return element(
    "details",
    { class: "picker" },
    element("summary", {}, `Metrics: ${shown.size} of ${columns.length}`),
    element("div", { class: "sheet" }, element("div", { class: "buttons" }, all, few), boxes),
  );
}

// Rows of different cost are no rivals, unless the reader says so.
function rankSwitch() {
  const here = rowsHere().filter((row) => !row.anchor);
  const same = (a, b) => a.best.join() === b.best.join() && a.tied.join() === b.tied.join();
  if (here.every((row) => same(row, row.together))) return "";
  const box = element("input", {
    type: "checkbox",
    checked: value("rank") === "together",
    onchange: () => {
      change({ rank: box.checked ? "together" : "" });
      document.querySelector(".rank input")?.focus();
    },
  });
  return element("label", { class: "tick rank" }, box, element("span", {}, "Rank whatever the cost"));
}

function sortValue(row, key) {
  const cost = COST.find((entry) => entry.key === key);
  if (cost) return cost.of(row);
  return columnOf.has(key) ? mean(row, columnOf.get(key)).mean : row.index;
}

function sorted(list, key, order) {
  const sign = order === "down" ? -1 : 1;
  return [...list].sort((a, b) => {
    const [x, y] = [sortValue(a, key), sortValue(b, key)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return x === y ? a.index - b.index : sign * (x < y ? -1 : 1);
  });
}

function sortHeader(key, text, hint, attributes = {}) {
  const [by, order] = [value("sort"), value("order", "up")];
  const column = columnOf.get(key);
  const first = column?.direction === "higher" ? "down" : "up";
  const next = by !== key ? first : order === "up" ? "down" : "up";
  const state = by !== key ? "none" : order === "up" ? "ascending" : "descending";
  const button = element(
    "button",
    {
      type: "button",
      title: hint,
      onclick: () => {
        change({ sort: key, order: next });
        document.querySelector(`[data-sort="${CSS.escape(key)}"] button`)?.focus();
      },
    },
    text,
    element("span", { class: "sorted", "aria-hidden": "true" }, by !== key ? "" : order === "up" ? "▲" : "▼"),
  );
  return element("th", { scope: "col", "aria-sort": state, "data-sort": key, ...attributes }, button);
}

function metricCell(row, column, range) {
  const found = mean(row, column);
  const marks = value("rank") === "together" ? row.together : row;
  const best = marks.best.includes(column.key);
  const tied = marks.tied.includes(column.key);
  const places = decimals.get(column.key);
  const fewer = found.n && found.n < row.n ? element("span", { title: `mean over ${found.n} of ${row.n} edits` }, "†") : null;
  const hint = best ? "best" : tied ? "not shown to differ from the best" : "";
  return element(
    "td",
    { class: `number${best ? " best" : tied ? " tied" : ""}`, title: hint },
    element("span", { class: "mean" }, written(found.mean, places), fewer, hint ? element("span", { class: "offscreen" }, ` ${hint}`) : null),
    element("span", { class: "margin" }, isFinite(margin(found)) && found.high > found.low ? `±${written(margin(found), places)}` : "\u00a0"),
    whisker(row, found, range),
  );
}

// A dot with its interval, on the scale of the column.
function whisker(row, found, [low, high]) {
  const at = (v) => `${(4 + 92 * Math.min(1, Math.max(0, (v - low) / (high - low || 1)))).toFixed(1)}%`;
  if (!isFinite(found.mean)) return element("span", { class: "whisker" });
  const line = isFinite(found.low) ? svg("line", { x1: at(found.low), x2: at(found.high), y1: 4, y2: 4 }) : null;
  const dot = svg("circle", { cx: at(found.mean), cy: 4, r: 2.5 });
  return element("span", { class: "whisker", "aria-hidden": "true", style: `color:${colour(row)}` }, svg("svg", {}, line, dot));
}

function rangeOf(list, column) {
  const ends = list.flatMap((row) => {
    const { mean: middle, low, high } = mean(row, column);
    return [middle, low, high].filter(isFinite);
  });
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
}

function tableRow(row, shown, ranges) {
  const link = element("a", { href: address("pictures", { block: value("block"), rows: row.key }), title: `${row.title}: see its pictures` }, row.method);
  const troubled = row.failed || row.warned;
  const notes = [row.failed ? `${row.failed} failed` : "", row.warned ? `${row.warned} warned` : ""].filter(Boolean);
  const version = kindsOf(row).length > 1 ? element("span", { class: "quietly" }, ` v${row.version} @${row.digest.slice(0, 6)}`) : null;
  const name = element(
    "th",
    { scope: "row" },
    element("span", { class: "name" }, swatch(row), link, version, element("span", { class: "setting" }, row.anchor && !row.label ? row.title : breakable(settingName(row)))),
    troubled ? element("a", { class: "trouble", href: address("troubles", {}) }, notes.join(", ")) : null,
  );
  const cost = [
    element("td", { class: "number" }, String(row.n)),
    element("td", { class: "number nowrap" }, row.n ? row.nfe.map((v) => significant(v, 3)).join(" + ") : "–"),
    element("td", { class: "number" }, significant(row.seconds)),
  ];
  const again = row.command
    ? element("button", { type: "button", class: "quiet copy", title: row.command, "aria-label": `Copy the command that makes ${rowName(row)}`, onclick: () => copy(row.command, "Command") }, copyIcon())
    : null;
  return element("tr", { class: row.anchor ? "anchor" : "", "data-row": row.key }, name, shown.map((column, i) => metricCell(row, column, ranges[i])), cost, element("td", { class: "last" }, again));
}

const kindsOf = (row) => [...new Set(rows.filter((other) => other.method === row.method && blockOf(other) === blockOf(row)).map(kindOf))];

function mainTable() {
  const here = rowsHere();
  const shown = chosenColumns();
  const [by, order] = [value("sort"), value("order", "up")];
  const competitors = sorted(here.filter((row) => !row.anchor), by, order);
  const rivals = rivalGroups(competitors);
  const references = here.filter((row) => row.anchor);
  const ranges = shown.map((column) => rangeOf(competitors, column));
  const groups = [];
  for (const column of shown) {
    const last = groups.at(-1);
    if (last?.group === column.group) last.span += 1;
    else groups.push({ group: column.group, title: column.question, span: 1 });
  }
  const body = (list, title) => {
    if (!list.length) return null;
    const caption = title ? element("tr", { class: "apart" }, element("th", { scope: "rowgroup", colspan: 5 + shown.length }, element("span", {}, title))) : null;
    return element("tbody", {}, caption, list.map((row) => tableRow(row, shown, ranges)));
  };
  return element(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": "Main table" },
    element(
      "table",
      { class: "main" },
      element("caption", { class: "offscreen" }, "Mean of each metric with its 95 % interval, for each method and setting"),
      element(
        "thead",
        {},
        element("tr", { class: "groups" }, element("td", {}), groups.map((group) => element("th", { scope: "colgroup", colspan: group.span }, group.title)), element("th", { scope: "colgroup", colspan: 3 }, "At what cost?"), element("td", {})),
        element(
          "tr",
          {},
          sortHeader("", "Method and setting", "in the order in which they were run", { class: "first" }),
          shown.map((column) => sortHeader(column.key, [heading(column), element("small", {}, ` ${column.unit} ${arrow(column)}`)], `${column.signature}; ${column.direction} is better`, { class: "number" })),
          COST.map((cost) => sortHeader(cost.key, cost.title, cost.hint, { class: "number" })),
          element("th", { scope: "col" }, element("span", { class: "offscreen" }, "Command")),
        ),
      ),
      rivals.map(([block, list]) => body(list, rivals.length > 1 ? block : "")),
      body(references, "Reference lines, outside the competition"),
    ),
  );
}

// Rows that may be ranked together, under what tells them from the others.
function rivalGroups(competitors) {
  const groups = new Map();
  for (const row of competitors) {
    const title = row.rivals.slice(3).filter(Boolean).map((part) => (/^\d+$/.test(part) ? `${part} pixels` : part)).join(", ") || "samples alone";
    groups.set(title, [...(groups.get(title) ?? []), row]);
  }
  return [...groups];
}

const copyIcon = () =>
  svg("svg", { viewBox: "0 0 16 16", width: 15, height: 15, "aria-hidden": "true", class: "icon" },
    svg("rect", { x: 5.5, y: 5.5, width: 8, height: 8, rx: 1.5 }), svg("path", { d: "M10.5 3v-.5a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v7a1 1 0 0 0 1 1H4" }));

// What papers print, beside what was measured; and why the rest says nothing about it.
function publishedSection() {
  const list = report.published;
  if (!list.length) return "";
  const measured = list.filter((entry) => entry.answer !== "not comparable");
  const others = list.filter((entry) => entry.answer === "not comparable");
  const heads = ["Published as", "Metric", "Published", "Here", "", "Where"];
  const line = (entry) => [
    entry.title,
    entry.metric,
    `${entry.published.toFixed(entry.digits)} ${entry.unit}`,
    entry.ours === null ? "–" : `${entry.ours.toFixed(entry.digits)} ±${entry.margin.toFixed(entry.digits)}`,
    entry.answer === "not comparable" ? entry.reasons.join("; ") : [entry.answer, ...entry.reasons].join(": "),
    entry.where,
  ];
  return element(
    "section",
    {},
    element("h2", {}, "Beside published numbers"),
    measured.length ? plainTable(heads, measured.map(line), "Published numbers") : element("p", { class: "quietly" }, "No published number was made as these were."),
    others.length ? element("details", {}, element("summary", { class: "quietly" }, `${count(others.length, "published number")} of these methods cannot be compared with this run, and why`), plainTable(heads, others.map(line), "Published numbers that cannot be compared")) : "",
  );
}

function facts() {
  const here = rowsHere();
  const { counts } = report;
  const [command] = report.runs.flatMap((run) => run.commands.slice(-1));
  const models = [...new Set(here.map((row) => row.model))].join(", ");
  const settings = here.filter((row) => !row.anchor).length;
  const machine = command?.hardware ? [...command.hardware.accelerators, command.hardware.processor][0] : "";
  const seeds = [...new Set(report.runs.flatMap((run) => run.commands.map((entry) => entry.seed)))].filter((seed) => seed !== null && seed !== undefined);
  const entries = [
    ["Compared", count(methods.length, "method"), `${count(settings, "setting")}${anchors.length ? `, and ${anchors.join(", ")} for reference` : ""}`],
    ["Benchmark", JSON.parse(chosenBlock()).slice(0, 2).filter(Boolean).join(" · "), `${count(counts.samples, "sample")}, protocol ${here[0].block[2]}`],
    ["Model", models, seeds.length ? `seed ${seeds.join(", ")}` : ""],
    ["Edits", counts.cells.toLocaleString("en"), `${duration(report.seconds)} of computing`],
    ["Made", command ? command.started.slice(0, 10) : "", machine],
  ];
  const troubles = counts.failed + counts.warned + counts.lost;
  const words = [counts.failed && `${counts.failed.toLocaleString("en")} failed`, counts.warned && `${counts.warned.toLocaleString("en")} warned`, counts.lost && `${counts.lost} without a picture`].filter(Boolean);
  entries.push(["Failures", troubles ? element("a", { href: address("troubles", {}) }, words.join(", ")) : "none", troubles ? "every one with its reason" : "every edit has its picture"]);
  return element("dl", { class: "facts" }, entries.map(([term, main, more]) => element("div", {}, element("dt", {}, term), element("dd", {}, main), element("dd", { class: "quietly" }, more))));
}

views.set("summary", {
  title: "Summary",
  async draw(main) {
    const legend = element("p", { class: "quietly legend" }, element("b", { class: "best" }, "Bold"), value("rank") === "together" ? " best of all rows, whatever their cost, " : " best of the rows of equal cost (NFE), ", element("span", { class: "tied" }, "underlined"), " not shown to differ from the best (95 % interval of the paired difference holds 0, not corrected for the number of rows). ± half a 95 % interval of the mean, samples as clusters.");
    const notes = report.notes.length ? element("ul", { class: "notes" }, report.notes.filter((note) => !note.startsWith("±")).map((note) => element("li", {}, note))) : null;
    main.append(
      element("h1", {}, report.title),
      element("p", { class: "quietly runs" }, report.runs.map((run) => run.name).join(" · ")),
      facts(),
      element("div", { class: "bar" }, element("h2", {}, "Results"), blockField(), rankSwitch(), columnPicker()),
      mainTable(),
      legend,
      notes ?? "",
    );
    const [x, y] = report.axes.map(axisOf);
    const curve = x && y && chartOf(await loadTrades(x.key, y.key), x, y);
    if (curve) main.append(element("div", { class: "bar" }, element("h2", {}, "Trade-off"), element("a", { class: "more", href: address("curves", { block: value("block") }) }, "Choose axes, compare at equal preservation →")), curve.figure);
    main.append(publishedSection());
    return curve?.leave;
  },
});
