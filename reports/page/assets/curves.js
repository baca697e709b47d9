// Trade-off curves: any metric or cost against any other, with bands, fronts and matched levels.

const COST_AXES = [
  { key: "nfe", title: "Cost: U-Net rows an edit", direction: "lower", cost: true, of: (row) => row.nfe[0] + row.nfe[1] },
  { key: "seconds", title: "Cost: seconds an edit", direction: "lower", cost: true, of: (row) => row.seconds },
];
const MOST_BARS = 24; // more points than this have their intervals in the tips alone

const axisOf = (key) => COST_AXES.find((axis) => axis.key === key) ?? columnOf.get(key);
const axisName = (axis) => (axis.cost ? axis.title : heading(axis));
const axisTitle = (axis) => `${axis.cost ? axis.title : withUnit(axis)} ${arrow(axis)}`;
const toInterval = ([middle, low, high]) => ({ mean: toNumber(middle), low: toNumber(low), high: toNumber(high) });
const reading = (v, axis) => (axis.cost ? significant(v, 3) : written(v, decimals.get(axis.key)));
const withMargin = (found, axis) => reading(found.mean, axis) + (found.high > found.low ? ` ±${reading(margin(found), axis)}` : "");
const between = (found, axis) => `[${reading(found.low, axis)}, ${reading(found.high, axis)}]`;

function pointOn(row, axis) {
  if (!axis.cost) return mean(row, axis);
  return { mean: toNumber(axis.of(row)), low: NaN, high: NaN, n: row.n };
}

// What the bootstrap said of a pair of axes, for the rows of the benchmark shown.
async function loadTrades(xKey, yKey) {
  const place = report.trades.findIndex(([x, y]) => x === xKey && y === yKey);
  if (place < 0) return [{ refused: `bands and tests are made for the usual pairs of axes; of this one: icd-bench curve --x ${xKey} --y ${yKey}` }];
  const here = new Set(rowsHere().map((row) => JSON.stringify(row.rivals)));
  return (await load(`trade-${place}`)).filter((trade) => here.has(JSON.stringify(trade.rivals)));
}

// Points come from the samples that all settings have; without bands, from each row's own.
function pointsOf(trades, x, y) {
  const told = trades.flatMap((trade) => (trade.points ?? []).map((point) => ({ ...point, row: rows[point.row], x: toInterval(point.x), y: toInterval(point.y), chance: toNumber(point.chance) })));
  const known = new Set(told.map((point) => point.row));
  const others = rowsHere().filter((row) => !known.has(row)).map((row) => ({ row, x: pointOn(row, x), y: pointOn(row, y), front: false, chance: NaN }));
  return [...told, ...(trades.some((trade) => trade.refused) ? others : [])]
    .filter((point) => isFinite(point.x.mean) && isFinite(point.y.mean))
    .filter((point) => !(x.cost && point.x.mean <= 0) && !(y.cost && point.y.mean <= 0));
}

const curvesOf = (trades) => trades.flatMap((trade) => (trade.curves ?? []).map((curve) => ({ ...curve, row: rows[curve.row] })));

function chartOf(trades, x, y, { cut = null, moveCut = null } = {}) {
  const points = pointsOf(trades, x, y);
  if (!points.length) return null;
  const holder = element("div", { class: "chart" });
  const tip = element("div", { class: "tip", hidden: true });
  const figure = element("figure", { class: "card" }, holder, tip, keyOf(points, trades));
  let scale = null;
  let line = null;
  const chart = {
    figure,
    get drawing() { return holder.querySelector("svg"); },
    get span() { return [Math.min(...points.map((p) => p.x.mean)), Math.max(...points.map((p) => p.x.mean))]; },
    cutAt(at) { cut = at; line?.setAttribute("transform", `translate(${scale.at(at).toFixed(1)},0)`); },
  };
  const draw = () => {
    const drawn = drawChart(points, trades, x, y, Math.max(300, holder.clientWidth), cut, tip);
    ({ scale, line } = drawn);
    holder.replaceChildren(drawn.drawing);
    if (moveCut) drawn.drawing.addEventListener("click", (event) => {
      if (event.target.closest("a")) return;
      moveCut(scale.back(event.clientX - drawn.drawing.getBoundingClientRect().left));
    });
  };
  const observer = new ResizeObserver(draw);
  observer.observe(holder);
  chart.leave = () => observer.disconnect();
  return chart;
}

function keyOf(points, trades) {
  const kinds = [...new Map(points.map((point) => [point.row.method, point.row])).values()];
  const [told] = trades.filter((trade) => trade.curves);
  const level = told && `${Math.round(100 * told.level)} %`;
  const words = told
    ? [element("span", {}, element("span", { class: "dashes", "aria-hidden": "true" }), "Pareto front of all methods"), element("span", {}, `full marks: on the front in every resample, hollow: in none`), ...(told.points.some((p) => p.chosen) ? [element("span", {}, "ring: chosen on other samples")] : []), element("span", {}, `${told.curves.some((curve) => curve.x.length) ? `bands: ${level}, jointly for the whole curve` : `bars: ${level} intervals of the means`}, ${count(told.samples, "sample")}`)]
    : [element("span", {}, "bars: 95 % intervals of the means")];
  return element("figcaption", { class: "key" }, kinds.map((row) => element("span", {}, swatch(row), row.method)), element("span", { class: "quietly key" }, words));
}

function drawChart(points, trades, x, y, width, cut, tip) {
  const height = Math.round(Math.min(500, Math.max(300, width * 0.55)));
  const edge = { left: 58, right: 18, top: 30, bottom: 46 };
  const ends = (name, { range: [low, high] = [null, null] }) => {
    const competitors = points.filter((point) => !point.row.anchor);
    const told = competitors.length ? [...competitors, ...points.filter((p) => p.row.anchor && near(p, competitors, name))] : points;
    const within = (value) => Math.min(Math.max(value, low ?? -Infinity), high ?? Infinity);
    return told.flatMap((p) => [p[name].mean, p[name].low, p[name].high]).filter(isFinite).map(within);
  };
  const scaleOf = (axis, name, range) => (axis.cost ? logScale : linearScale)(ends(name, axis), range, width < 480 ? 4 : 6);
  const across = scaleOf(x, "x", [edge.left, width - edge.right]);
  const up = scaleOf(y, "y", [height - edge.bottom, edge.top]);
  const drawing = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${axisTitle(y)} against ${axisTitle(x)}` });

  const ruled = svg("g", { class: "rules" });
  for (const [tick, text] of across.ticks) {
    ruled.append(svg("line", { x1: across.at(tick), x2: across.at(tick), y1: edge.top, y2: height - edge.bottom }), svg("text", { x: across.at(tick), y: height - edge.bottom + 18, "text-anchor": "middle" }, text));
  }
  for (const [tick, text] of up.ticks) {
    ruled.append(svg("line", { x1: edge.left, x2: width - edge.right, y1: up.at(tick), y2: up.at(tick) }), svg("text", { x: edge.left - 8, y: up.at(tick) + 4, "text-anchor": "end" }, text));
  }
  drawing.append(
    ruled,
    svg("text", { class: "axis", x: edge.left - 46, y: 16, "text-anchor": "start" }, axisTitle(y)),
    svg("text", { class: "axis", x: width - edge.right, y: height - 8, "text-anchor": "end" }, axisTitle(x)),
  );

  const inside = (p) => [across.at(p.x.mean), up.at(p.y.mean)];
  const frame = [edge.left, edge.top, width - edge.right, height - edge.bottom];
  const clip = svg("clipPath", { id: `frame-${(drawChart.drawn = (drawChart.drawn ?? 0) + 1)}` }, svg("rect", { x: frame[0], y: frame[1] - 8, width: frame[2] - frame[0], height: frame[3] - frame[1] + 16 }));
  const layer = svg("g", { "clip-path": `url(#${clip.id})` });
  drawing.append(svg("defs", {}, clip), layer);

  for (const curve of curvesOf(trades)) {
    const style = `color:${colour(curve.row)}`;
    const at = (name) => curve.x.map((v, i) => [toNumber(v), toNumber(curve[name][i])]).filter(([, v]) => isFinite(v)).map(([v, w]) => [across.at(v), up.at(w)]);
    const [lower, upper] = [at("low"), at("high")];
    if (upper.length > 1) layer.append(svg("path", { class: "band", style, d: `${path([...upper, ...lower.reverse()])}Z` }));
    layer.append(svg("path", { class: "series", style, d: path(at("y")) }));
  }
  for (const trade of trades.filter((one) => one.points)) {
    const front = trade.points.filter((p) => p.front).map((p) => [toNumber(p.x[0]), toNumber(p.y[0])]).sort((a, b) => goodness(a[0], x) - goodness(b[0], x));
    const stairs = front.flatMap(([px, py], i) => (i ? [[front[i - 1][0], py], [px, py]] : [[px, py]]));
    if (stairs.length > 1) layer.append(svg("path", { class: "front", d: path(stairs.map(([px, py]) => [across.at(px), up.at(py)])) }));
  }
  // Where a band is, the intervals of its points would say it twice.
  const banded = new Set(curvesOf(trades).filter((curve) => curve.x.length).map((curve) => kindOf(curve.row)));
  for (const p of points.length > MOST_BARS ? [] : points.filter((one) => !banded.has(kindOf(one.row)))) {
    const [[px, py], style] = [inside(p), `color:${colour(p.row)}`];
    if (isFinite(p.y.low)) layer.append(svg("line", { class: "bar", style, x1: px, x2: px, y1: up.at(p.y.low), y2: up.at(p.y.high) }));
    if (isFinite(p.x.low) && !x.cost) layer.append(svg("line", { class: "bar", style, x1: across.at(p.x.low), x2: across.at(p.x.high), y1: py, y2: py }));
  }
  for (const p of points) layer.append(pointLink(p, x, y, inside(p), tip));
  const line = cut === null ? null : svg("line", { class: "cut", x1: 0, x2: 0, y1: edge.top, y2: height - edge.bottom, transform: `translate(${across.at(cut).toFixed(1)},0)` });
  if (line) layer.prepend(line);
  return { drawing, scale: across, line };
}

// A reference line far away from all others would squeeze them into a corner.
function near(point, competitors, name) {
  const values = competitors.map((p) => p[name].mean);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const reach = (high - low || Math.abs(high) || 1) * 1.2;
  return point[name].mean >= low - reach && point[name].mean <= high + reach;
}

const chanceText = (p) => (Number.isNaN(p.chance) ? "" : `${p.front ? "on the Pareto front; " : ""}on it in ${Math.round(100 * p.chance)} % of the resamples`);

function pointLink(p, x, y, [px, py], tip) {
  const lines = [
    `${axisName(x)}: ${withMargin(p.x, x)}`,
    `${axisName(y)}: ${withMargin(p.y, y)}`,
    `NFE ${p.row.nfe.map((v) => significant(v, 3)).join(" + ")}, ${significant(p.row.seconds)} s, n = ${p.row.n}`,
    chanceText(p),
    p.chosen ? "chosen on the samples for choosing" : "",
  ].filter(Boolean);
  const showTip = () => {
    tip.replaceChildren(element("b", {}, rowName(p.row)), ...lines.map((text) => element("div", {}, text)), element("div", { class: "quietly" }, "click: its pictures"));
    tip.hidden = false;
    const room = tip.parentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(8, Math.min(room, px - tip.offsetWidth / 2 + 16))}px`;
    tip.style.top = `${py > tip.offsetHeight + 30 ? py - tip.offsetHeight : py + 34}px`;
  };
  const hideTip = () => (tip.hidden = true);
  return svg(
    "a",
    {
      href: address("pictures", { block: value("block"), rows: p.row.key }),
      class: "point",
      style: `color:${colour(p.row)};--chance:${p.row.anchor || Number.isNaN(p.chance) ? 100 : Math.round(100 * p.chance)}%`,
      transform: `translate(${px.toFixed(1)},${py.toFixed(1)})`,
      "aria-label": [rowName(p.row), ...lines].join(", "),
      onmouseenter: showTip, onfocus: showTip, onmouseleave: hideTip, onblur: hideTip,
    },
    svg("circle", { r: 12, class: "reach" }),
    p.chosen ? svg("circle", { r: 10, class: "ring" }) : null,
    markShape(p.row),
  );
}

// What each method reaches where x is equal: read on its curve, never beyond its settings.
function matched(curves, at, y) {
  return curves
    .map(({ row, name, x: levels, ...ends }) => {
      const xs = levels.map(toNumber);
      const after = xs.findIndex((v) => v >= at);
      if (after < 0 || (after === 0 && xs[0] > at)) return { row, name, mean: NaN, low: NaN, high: NaN };
      const before = Math.max(0, after - 1);
      const share = xs[after] > xs[before] ? (at - xs[before]) / (xs[after] - xs[before]) : 0;
      const read = (list) => toNumber(list[before]) + share * (toNumber(list[after]) - toNumber(list[before]));
      return { row, name, mean: read(ends.y), low: read(ends.low), high: read(ends.high) };
    })
    .sort((a, b) => Number.isNaN(a.mean) - Number.isNaN(b.mean) || goodness(b.mean, y) - goodness(a.mean, y));
}

views.set("curves", {
  title: "Curves",
  async draw(main) {
    const choices = [...columns.map((column) => [column.key, withUnit(column)]), ...COST_AXES.map((axis) => [axis.key, axis.title])];
    const [xKey, yKey] = [value("x", report.axes[0]), value("y", report.axes[1])];
    const [x, y] = [axisOf(xKey), axisOf(yKey)];
    const save = element("button", { type: "button", onclick: () => saveSvg(chart.drawing, `${yKey}-${xKey}.svg`) }, "Save as SVG");
    main.append(
      element("h1", {}, "Trade-off curves"),
      element(
        "div",
        { class: "bar" },
        select("Vertical", choices, yKey, (y) => change({ y })),
        select("Horizontal", choices, xKey, (x) => change({ x, at: "" })),
        element("button", { type: "button", onclick: () => change({ x: yKey, y: xKey, at: "" }) }, "Swap"),
        blockField(),
        save,
      ),
    );
    const trades = x && y ? await loadTrades(xKey, yKey) : [];
    const curves = curvesOf(trades).filter((curve) => curve.x.length);
    const start = value("at") ? Number(value("at")) : startOf(curves);
    const chart = x && y && chartOf(trades, x, y, curves.length ? { cut: start, moveCut: (at) => move(at) } : {});
    if (!chart) {
      save.disabled = true;
      main.append(element("p", { class: "notice" }, "No row has a finite mean on both axes."));
      return undefined;
    }
    for (const trade of trades.filter((one) => one.refused)) main.append(element("p", { class: "quietly" }, `Means alone: ${trade.refused}.`));
    if (!curves.length) {
      main.append(chart.figure, ...trades.filter((trade) => trade.points).flatMap((trade) => tradeTables(trade, x, y)));
      return chart.leave;
    }
    const readings = element("div", { role: "status" });
    const slider = element("input", { type: "range", min: 0, max: 1000, "aria-label": `Compare at this ${axisTitle(x)}` });
    const [low, high] = chart.span;
    const move = (at) => {
      const kept = Math.min(high, Math.max(low, at));
      slider.value = Math.round(((kept - low) / (high - low || 1)) * 1000);
      chart.cutAt(kept);
      readings.replaceChildren(
        element("p", {}, `At ${axisName(x)} = `, element("b", {}, significant(kept, 4)), ":"),
        element("table", { class: "readings", "aria-label": `Each method at this ${axisName(x)}` }, element("tbody", {}, matched(curves, kept, y).map((found) => element("tr", {}, element("th", { scope: "row" }, swatch(found.row), found.name), element("td", { class: "number" }, Number.isNaN(found.mean) ? element("span", { class: "quietly" }, "not reached") : [reading(found.mean, y), isFinite(found.low) ? element("span", { class: "margin" }, between(found, y)) : ""]))))),
        element("p", { class: "quietly" }, `Read on each method's own front, with the band of the whole curve; where only settings go that lose both scores, at the front's first point. “Not reached”: its settings do not go there.`),
      );
      keep({ at: significant(kept, 5) });
    };
    slider.addEventListener("input", () => move(low + (slider.value / 1000) * (high - low)));
    main.append(
      element("div", { class: "beside" }, chart.figure, element("section", { class: "card matched" }, element("h2", {}, x.cost ? "At equal cost" : x.group === "preservation" ? "At equal preservation" : "At an equal value"), element("p", { class: "quietly" }, "Move the line: drag here, or click into the chart."), slider, readings)),
      ...trades.filter((trade) => trade.points).flatMap((trade) => tradeTables(trade, x, y)),
    );
    move(start);
    return chart.leave;
  },
});

const named = (row, name) => element("span", { class: "name" }, swatch(row), name);
const chanceOf = (p) => (p < 1e-3 ? "< 0.001" : p.toFixed(3));

// Claims, chosen settings and chances: what the chart shows, in numbers.
function tradeTables(trade, x, y) {
  const level = Math.round(100 * trade.level);
  const versus = (claim) => element("span", { class: "versus" }, named(rows[claim.a[1]], claim.a[0]), "−", named(rows[claim.b[1]], claim.b[0]));
  const claims = trade.claims.filter((claim) => !claim.refused).map((claim) => {
    const found = toInterval(claim.difference);
    return [versus(claim), claim.shared.map((v) => reading(toNumber(v), x)).join(" to "), reading(found.mean, y), between(found, y), claim.p === null ? "" : chanceOf(toNumber(claim.p)), claim.better ? element("b", {}, claim.better) : "not shown"];
  });
  const refused = trade.claims.filter((claim) => claim.refused).map((claim) => [versus(claim), element("span", { class: "reason" }, claim.refused)]);
  const choices = trade.choices.map((choice) => [named(rows[choice.row], choice.name), element("span", { class: "reason" }, breakable(choice.label || "default")), ...["dev_x", "dev_y", "test_x", "test_y"].map((name) => withMargin(toInterval(choice[name]), name.endsWith("x") ? x : y))]);
  const points = trade.points.filter((p) => p.chance !== null).sort((a, b) => b.chance - a.chance || a.row - b.row).map((p) => [named(rows[p.row], rowName(rows[p.row])), withMargin(toInterval(p.x), x), withMargin(toInterval(p.y), y), `${Math.round(100 * p.chance)} %`]);
  const areas = trade.curves.map((curve) => {
    const area = toInterval(curve.area);
    return [named(rows[curve.row], curve.name), significant(area.mean, 3), `[${significant(area.low, 3)}, ${significant(area.high, 3)}]`];
  });
  return [
    element(
      "section",
      {},
      element("h2", {}, `Method against method, where ${axisName(x)} is equal`),
      claims.length ? plainTable(["Methods", `Levels of ${axisName(x)}`, `Difference of ${axisName(y)}`, `${level} % interval`, "p (Holm)", "Better"], claims, "Method against method", "trade") : element("p", { class: "notice" }, "No two methods can be compared; the reasons are below."),
      claims.length ? element("p", { class: "quietly" }, "Mean difference over the levels that both reach; paired bootstrap over samples; p after Holm's correction over this table.") : "",
      refused.length ? element("details", {}, element("summary", { class: "quietly" }, `${count(refused.length, "pair")} that cannot be compared, and why`), plainTable(["Methods", "Why not"], refused, "Pairs that cannot be compared", "trade")) : "",
    ),
    choices.length ? element("section", {}, element("h2", {}, "Setting chosen on other samples"), plainTable(["Method", "Setting", ...["choosing", "judging"].flatMap((step) => [x, y].map((axis) => `${axisName(axis)}, ${step}`))], choices, "Chosen settings", "trade"), element("p", { class: "quietly" }, `${trade.rule.replace(/^./, (first) => first.toUpperCase())}.`)) : "",
    element("details", {}, element("summary", {}, "Chance of each setting to be on the front, and hypervolumes"), plainTable(["Setting", axisName(x), axisName(y), "On the front"], points, "On the front", "trade"), plainTable(["Method", "Hypervolume", `${level} % interval`], areas, "Hypervolumes", "trade")),
    trade.notes.length ? element("ul", { class: "notes" }, trade.notes.map((note) => element("li", {}, note))) : "",
  ];
}

// Where most methods can be compared.
function startOf(curves) {
  const ends = curves.map((curve) => curve.x.map(toNumber)).map((xs) => [Math.min(...xs), Math.max(...xs)]);
  if (!ends.length) return 0;
  const reached = (at) => ends.filter(([least, most]) => least <= at && at <= most).length;
  const candidates = ends.flat().sort((a, b) => a - b);
  const middles = candidates.slice(1).map((v, i) => (v + candidates[i]) / 2);
  const most = Math.max(...middles.map(reached));
  const good = middles.filter((at) => reached(at) === most);
  return good[good.length >> 1];
}
