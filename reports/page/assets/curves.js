// Trade-off curves: any metric or cost against any other, with intervals and the Pareto front.

const COST_AXES = [
  { key: "nfe", title: "Cost: U-Net rows an edit", direction: "lower", cost: true, of: (row) => row.nfe[0] + row.nfe[1] },
  { key: "seconds", title: "Cost: seconds an edit", direction: "lower", cost: true, of: (row) => row.seconds },
];
const axisOf = (key) => COST_AXES.find((axis) => axis.key === key) ?? columnOf.get(key);
const axisTitle = (axis) => `${axis.cost ? axis.title : withUnit(axis)} ${arrow(axis)}`;

function pointOn(row, axis) {
  if (!axis.cost) return mean(row, axis);
  const middle = toNumber(axis.of(row));
  return { mean: middle, low: NaN, high: NaN, n: row.n };
}

const readingOf = (point, axis) =>
  axis.cost ? significant(point.mean, 3) : written(point.mean, decimals.get(axis.key)) + (point.high > point.low ? ` ±${written(margin(point), decimals.get(axis.key))}` : "");

// Points of one method that differ in the swept field alone are joined.
function seriesOf(points) {
  const found = new Map();
  for (const point of points) {
    const { [point.row.swept]: _, ...rest } = point.row.setting;
    const key = JSON.stringify([kindOf(point.row), rest]);
    found.set(key, [...(found.get(key) ?? []), point]);
  }
  return [...found.values()];
}

// Points that no other beats on both axes.
function frontOf(points, x, y) {
  const beaten = (a) => points.some((b) => {
    const [dx, dy] = [goodness(b.x.mean, x) - goodness(a.x.mean, x), goodness(b.y.mean, y) - goodness(a.y.mean, y)];
    return dx >= 0 && dy >= 0 && (dx > 0 || dy > 0);
  });
  return points.filter((point) => !point.row.anchor && !beaten(point)).sort((a, b) => a.x.mean - b.x.mean);
}

function curvePoints(x, y) {
  return rowsHere()
    .map((row) => ({ row, x: pointOn(row, x), y: pointOn(row, y) }))
    .filter((point) => isFinite(point.x.mean) && isFinite(point.y.mean))
    .filter((point) => !(x.cost && point.x.mean <= 0) && !(y.cost && point.y.mean <= 0));
}

function curveOf(xKey, yKey, { cut = null, moveCut = null } = {}) {
  const [x, y] = [axisOf(xKey), axisOf(yKey)];
  const points = x && y ? curvePoints(x, y) : [];
  if (!points.length) return null;
  const holder = element("div", { class: "chart" });
  const tip = element("div", { class: "tip", hidden: true });
  const figure = element("figure", { class: "card" }, holder, tip, keyOf(points));
  let scale = null;
  let line = null;
  const chart = {
    figure,
    points,
    get drawing() { return holder.querySelector("svg"); },
    get span() { return [Math.min(...points.map((p) => p.x.mean)), Math.max(...points.map((p) => p.x.mean))]; },
    cutAt(at) { cut = at; line?.setAttribute("transform", `translate(${scale.at(at).toFixed(1)},0)`); },
  };
  const draw = () => {
    const width = Math.max(300, holder.clientWidth);
    const drawn = drawCurve(points, x, y, width, cut, tip);
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

function keyOf(points) {
  const kinds = [...new Map(points.map((point) => [point.row.method, point.row])).values()];
  return element("figcaption", { class: "key" }, kinds.map((row) => element("span", {}, swatch(row), row.method)), element("span", { class: "quietly" }, element("span", { class: "dashes", "aria-hidden": "true" }), "Pareto front"), element("span", { class: "quietly" }, "bands and bars: 95 % intervals of the means"));
}

function drawCurve(points, x, y, width, cut, tip) {
  const height = Math.round(Math.min(460, Math.max(300, width * 0.55)));
  const edge = { left: 58, right: 18, top: 30, bottom: 46 };
  const ends = (axis, name) => {
    const competitors = points.filter((point) => !point.row.anchor);
    const told = competitors.length ? [...competitors, ...points.filter((p) => p.row.anchor && near(p, competitors, name))] : points;
    return told.flatMap((p) => [p[name].mean, p[name].low, p[name].high]).filter(isFinite);
  };
  const scaleOf = (axis, name, range) => (axis.cost ? logScale : linearScale)(ends(axis, name), range, width < 480 ? 4 : 6);
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

  const [inside, frame] = [(p) => [across.at(p.x.mean), up.at(p.y.mean)], [edge.left, edge.top, width - edge.right, height - edge.bottom]];
  const clip = svg("clipPath", { id: `frame-${(drawCurve.drawn = (drawCurve.drawn ?? 0) + 1)}` }, svg("rect", { x: frame[0], y: frame[1] - 8, width: frame[2] - frame[0], height: frame[3] - frame[1] + 16 }));
  const layer = svg("g", { "clip-path": `url(#${clip.id})` });
  drawing.append(svg("defs", {}, clip), layer);

  const front = frontOf(points.filter((p) => !p.row.anchor), x, y);
  if (front.length > 1) layer.append(svg("path", { class: "front", d: path(front.map(inside)) }));
  for (const series of seriesOf(points)) {
    const style = `color:${colour(series[0].row)}`;
    const ordered = [...series].sort((a, b) => a.x.mean - b.x.mean);
    const banded = ordered.filter((p) => isFinite(p.y.low));
    if (banded.length > 1) {
      const upper = banded.map((p) => [across.at(p.x.mean), up.at(p.y.high)]);
      const lower = banded.map((p) => [across.at(p.x.mean), up.at(p.y.low)]).reverse();
      layer.append(svg("path", { class: "band", style, d: `${path([...upper, ...lower])}Z` }));
    }
    for (const p of series) {
      const [px, py] = inside(p);
      if (isFinite(p.y.low)) layer.append(svg("line", { class: "bar", style, x1: px, x2: px, y1: up.at(p.y.low), y2: up.at(p.y.high) }));
      if (isFinite(p.x.low)) layer.append(svg("line", { class: "bar", style, x1: across.at(p.x.low), x2: across.at(p.x.high), y1: py, y2: py }));
    }
    if (series.length > 1) layer.append(svg("path", { class: "series", style, d: path(series.map(inside)) }));
  }
  for (const p of points) layer.append(pointLink(p, x, y, inside(p), front.includes(p), tip));
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

function pointLink(p, x, y, [px, py], onFront, tip) {
  const lines = [`${x.cost ? x.title : heading(x)}: ${readingOf(p.x, x)}`, `${y.cost ? y.title : heading(y)}: ${readingOf(p.y, y)}`, `NFE ${p.row.nfe.map((v) => significant(v, 3)).join(" + ")}, ${significant(p.row.seconds)} s, n = ${p.row.n}`];
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
      class: `point${onFront ? " on-front" : ""}`,
      style: `color:${colour(p.row)}`,
      transform: `translate(${px.toFixed(1)},${py.toFixed(1)})`,
      "aria-label": [rowName(p.row), ...lines].join(", "),
      onmouseenter: showTip, onfocus: showTip, onmouseleave: hideTip, onblur: hideTip,
    },
    svg("circle", { r: 12, class: "reach" }),
    markShape(p.row),
  );
}

// What each method reaches where all keep the source equally well: read between its settings.
function matched(points, at, x, y) {
  return seriesOf(points.filter((p) => !p.row.anchor))
    .map((series) => {
      const ordered = [...series].sort((a, b) => a.x.mean - b.x.mean);
      const after = ordered.findIndex((p) => p.x.mean >= at);
      const row = series[0].row;
      if (after < 0 || (after === 0 && ordered[0].x.mean > at)) return { row, y: NaN };
      if (after === 0) return { row, y: ordered[0].y.mean };
      const [a, b] = [ordered[after - 1], ordered[after]];
      const share = (at - a.x.mean) / (b.x.mean - a.x.mean);
      return { row, y: a.y.mean + share * (b.y.mean - a.y.mean) };
    })
    .sort((a, b) => Number.isNaN(a.y) - Number.isNaN(b.y) || goodness(b.y, y) - goodness(a.y, y));
}

views.set("curves", {
  title: "Curves",
  draw(main) {
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
    const readings = element("div", {});
    const slider = element("input", { type: "range", min: 0, max: 1000, "aria-label": `Compare at this ${axisTitle(x)}` });
    const chart = x && y && curveOf(xKey, yKey, { cut: startOf(x, y), moveCut: (at) => move(at) });
    if (!chart) {
      save.disabled = true;
      main.append(element("p", { class: "notice" }, "No row has a finite mean on both axes."));
      return undefined;
    }
    const [low, high] = chart.span;
    const move = (at) => {
      const kept = Math.min(high, Math.max(low, at));
      slider.value = Math.round(((kept - low) / (high - low || 1)) * 1000);
      chart.cutAt(kept);
      const list = matched(chart.points, kept, x, y);
      readings.replaceChildren(
        element("p", {}, `At ${x.cost ? x.title : heading(x)} = `, element("b", {}, significant(kept, 4)), ":"),
        element("table", { class: "readings" }, element("tbody", {}, list.map((entry) => element("tr", {}, element("th", { scope: "row" }, swatch(entry.row), entry.row.method), element("td", { class: "number" }, Number.isNaN(entry.y) ? "not reached" : y.cost ? significant(entry.y, 3) : written(entry.y, decimals.get(y.key))))))),
        element("p", { class: "quietly" }, "Read on the line between two measured settings; “not reached”: the method's settings do not go there."),
      );
      keep({ at: significant(kept, 5) });
    };
    slider.addEventListener("input", () => move(low + (slider.value / 1000) * (high - low)));
    main.append(
      element("div", { class: "beside" }, chart.figure, element("section", { class: "card matched" }, element("h2", {}, x.cost ? "At equal cost" : x.group === "preservation" ? "At equal preservation" : "At an equal value"), element("p", { class: "quietly" }, "Move the line: drag here, or click into the chart."), slider, readings)),
    );
    move(value("at") ? Number(value("at")) : startOf(x, y));
    return chart.leave;
  },
});

// Where most methods can be compared.
function startOf(x, y) {
  const ends = seriesOf(curvePoints(x, y).filter((p) => !p.row.anchor)).map((series) => series.map((p) => p.x.mean));
  if (!ends.length) return 0;
  const candidates = ends.flat().sort((a, b) => a - b);
  const reached = (at) => ends.filter((list) => Math.min(...list) <= at && at <= Math.max(...list)).length;
  const most = Math.max(...candidates.map(reached));
  const good = candidates.filter((at) => reached(at) === most);
  return good[good.length >> 1];
}
