// By category: a small chart each, all on one scale.

views.set("categories", {
  title: "By category",
  draw(main) {
    main.append(element("h1", {}, "By category"));
    const all = report.groupings;
    if (!all.length) {
      main.append(element("p", { class: "notice" }, "The samples are not sorted into categories."));
      return;
    }
    const grouping = all.find((one) => one.name === value("by")) ?? all[0];
    const column = columnOf.get(value("metric")) ?? columnOf.get(report.axes[1]);
    const shown = chosenRows();
    const named = all.length > 1 ? select("Sorted by", all.map((one) => [one.name, sentence(one.name)]), grouping.name, (by) => change({ by })) : "";
    main.append(
      element("div", { class: "bar" }, named, select("Metric", columns.map((c) => [c.key, withUnit(c)]), column.key, (metric) => change({ metric })), blockField() ?? "", rowPicker(change)),
      element("p", { class: "quietly" }, `${withUnit(column)}, ${column.direction} is better. Dots are means, lines 95 % intervals, samples as clusters; ${isRanked(column) ? "the dashed line is the mean over all of the best row" : "it ranks nothing"}.`),
      element("div", { class: "multiples" }, grouping.groups.map((group, index) => multiple(group, index, grouping, column, shown))),
    );
  },
});

function multiple(group, index, grouping, column, shown) {
  const found = shown.map((row) => {
    const [middle, low, high, n] = grouping.means[column.index][row.index][index];
    return { row, mean: toNumber(middle), low: toNumber(low), high: toNumber(high), n };
  });
  const [low, high] = scaleOfGroups(grouping, column, shown);
  const at = (v) => `${(2 + 96 * Math.min(1, Math.max(0, (v - low) / (high - low || 1)))).toFixed(2)}%`;
  const overall = [...shown].filter((row) => !row.anchor).map((row) => mean(row, column).mean).filter(isFinite);
  const best = overall.length && isRanked(column) ? overall.reduce((a, b) => (goodness(a, column) > goodness(b, column) ? a : b)) : NaN;
  const ns = [...new Set(found.map((entry) => entry.n))];
  const lines = found.map((entry) =>
    element("tr", {},
      element("th", { scope: "row" }, swatch(entry.row), rowName(entry.row)),
      element("td", { class: "strip" }, svg("svg", { "aria-hidden": "true", style: `color:${colour(entry.row)}` },
        isFinite(best) ? svg("line", { class: "reference", x1: at(best), x2: at(best), y1: 0, y2: 22 }) : null,
        isFinite(entry.low) ? svg("line", { x1: at(entry.low), x2: at(entry.high), y1: 11, y2: 11 }) : null,
        isFinite(entry.mean) ? svg("circle", { cx: at(entry.mean), cy: 11, r: 4 }) : null)),
      element("td", { class: "number" }, written(entry.mean, decimals.get(column.key)), isFinite(margin(entry)) && entry.high > entry.low ? element("span", { class: "offscreen" }, ` ± ${written(margin(entry), decimals.get(column.key))}`) : null)));
  const link = element("a", { href: address("pictures", { block: value("block"), rows: value("rows"), [`in-${grouping.name}`]: group, metric: column.key }) }, sentence(group));
  return element("section", { class: "card" }, element("h2", {}, link, element("small", {}, ` n = ${ns.sort((a, b) => a - b).join("–")}`)), element("table", { "aria-label": `${heading(column)}, ${sentence(group)}` }, element("tbody", {}, lines)));
}

function scaleOfGroups(grouping, column, shown) {
  const values = shown.flatMap((row) => grouping.means[column.index][row.index].flatMap(([middle, low, high]) => [middle, low, high].map(toNumber))).filter(isFinite);
  if (!values.length) return [0, 1];
  const inside = shown.flatMap((row) => grouping.means[column.index][row.index].map(([middle]) => toNumber(middle))).filter(isFinite);
  const [least, most] = [Math.min(...inside), Math.max(...inside)];
  const reach = (most - least || 1) * 0.35;
  return [Math.max(Math.min(...values), least - reach), Math.min(Math.max(...values), most + reach)];
}
