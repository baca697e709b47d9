// What changed from one run to another: paired differences, and the edits that changed most.

if (report.changes) views.set("changes", {
  title: "Changes",
  async draw(main) {
    const list = await load("changes");
    main.append(element("h1", {}, list.length > 1 ? `What differs from ${list[0].a}` : `From ${list[0].a} to ${list[0].b}`));
    const leaves = list.map((diff) => changesOf(main, diff, list.length > 1));
    return () => leaves.forEach((left) => left());
  },
});

function changesOf(main, diff, titled) {
  if (titled) main.append(element("h2", {}, diff.b));
  if (diff.refused) {
    main.append(element("p", { class: "notice" }, sentence(diff.refused)));
    return () => {};
  }
  const same = diff.rows.filter((row) => row.identical === row.pairs && diff.columns.every((column) => isEqual(row.values[column.key])));
  const changed = diff.rows.filter((row) => !same.includes(row));
  const heads = ["Method and setting", "Pairs", "Same picture", ...diff.columns.map((column) => element("span", {}, column.title, element("small", {}, ` ${column.unit} ${arrow(column)}`)))];
  main.append(
    element("p", {}, `Mean of ${diff.b} − ${diff.a} over the edits that both have, ± half a 95 % interval, samples as clusters. Better and worse: shown at the 5 % level after Holm's correction over the whole table.`),
    changed.length ? plainTable(heads, changed.map((row) => changeRow(row, diff.columns)), "Paired differences", "trade") : "",
    same.length ? element("p", { class: "quietly" }, `Equal in every score and to the bit in every picture: ${same.map((row) => `${row.method} ${row.label || "default"}`).join(", ")}.`) : "",
    element("ul", { class: "notes" }, diff.notes.map((note) => element("li", {}, note))),
    element("h2", {}, "Changed most"),
  );
  if (!diff.most.length) {
    main.append(element("p", { class: "notice fine" }, "No edit whose pictures are there has changed."));
    return () => {};
  }
  const cards = diff.most.map((change) => changeCard(change, diff));
  const gallery = element("div", { class: "multiples changes" }, cards.map((card) => card.node));
  main.append(element("p", { class: "quietly" }, "In order of the root mean square change of the scores, in standard deviations of the first run's. Wheel zooms all three pictures, dragging moves them."), gallery);
  const repaint = () => cards.forEach((card) => card.repaint());
  const observer = new ResizeObserver(repaint);
  observer.observe(gallery);
  return () => observer.disconnect();
}

function changeRow(row, shown) {
  const cells = shown.map((column) => {
    const [mean, low, high, p, better] = row.values[column.key];
    const found = toInterval([mean, low, high]);
    const verdict = better === null ? "" : element("b", { class: better ? "gain" : "loss" }, better ? "better" : "worse");
    return element("span", { class: "difference", title: p === null ? "" : `p = ${chanceOf(toNumber(p))}` }, isEqual(row.values[column.key]) ? "equal" : signed(found), verdict);
  });
  const name = element("span", { class: "name" }, row.method, element("span", { class: "setting" }, row.label || "default"));
  return [name, row.pairs.toLocaleString("en"), row.identical.toLocaleString("en"), ...cells];
}

const isEqual = ([mean, low, high]) => mean === 0 && low === 0 && high === 0;

function signed(found) {
  if (Number.isNaN(found.mean)) return "–";
  const half = margin(found);
  if (half < 1e-4 * Math.abs(found.mean)) return `${found.mean > 0 ? "+" : "−"}${significant(Math.abs(found.mean), 3)}`;
  const places = half > 0 ? Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(half)))) : 4;
  return `${found.mean > 0 ? "+" : ""}${written(found.mean, places)}${isFinite(half) ? ` ±${written(half, places)}` : ""}`;
}

function changeCard(change, diff) {
  const [first, view] = [change.pictures - 2, { zoom: 1, left: 0.5, top: 0.5 }];
  const panes = [[diff.a, [first]], [diff.b, [first + 1]], ["difference ×4", [first + 1, first]]].map(([name, slots]) => {
    const canvas = element("canvas", { role: "img", "aria-label": `${change.id}, ${change.method}: ${name}` });
    const painter = async () => paintAll(canvas, await Promise.all(slots.map((slot) => findSlot(change, slot, true))), null, view, slots.length > 1 ? 4 : 0);
    return { canvas, painter, node: element("figure", { class: "pane" }, canvas, element("figcaption", {}, name)) };
  });
  const repaint = () => panes.forEach((pane) => pane.painter());
  for (const { canvas } of panes) steer(canvas, view, repaint);
  const lines = diff.columns.map((column) => {
    const [before, after] = change.scores[column.key].map(toNumber);
    const places = Math.min(4, Math.max(0, 3 - Math.floor(Math.log10(Math.max(Math.abs(before), Math.abs(after), 1e-4)))));
    return element("tr", {}, element("th", { scope: "row" }, `${column.title} ${arrow(column)}`), element("td", { class: "number" }, `${written(before, places)} → ${written(after, places)}`));
  });
  const node = element(
    "section",
    { class: "card" },
    element("h2", {}, change.id, element("small", {}, ` ${change.method} ${change.label || "default"}${change.seed ? ` · seed ${change.seed}` : ""}`)),
    prompts(change),
    element("div", { class: "three" }, panes.map((pane) => pane.node)),
    element("table", { "aria-label": "Scores before and after" }, element("tbody", {}, lines)),
  );
  return { node, repaint };
}
