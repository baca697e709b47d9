// Every edit that failed or was warned of, by reason.

const MOST_LISTED = 60;

views.set("troubles", {
  title: "Failures",
  async draw(main) {
    main.append(element("h1", {}, "Failures and warnings"));
    const { failed: failures, warned, lost, cells } = report.counts;
    main.append(element("p", {}, `${count(cells, "edit")}: ${failures.toLocaleString("en")} failed, ${warned.toLocaleString("en")} with a warning${lost ? `, ${lost.toLocaleString("en")} whose picture is gone` : ""}.`));
    if (!(failures + warned)) {
      main.append(element("p", { class: "notice fine" }, "Nothing failed and nothing was warned of: every mean is over all edits of its row."));
      return;
    }
    await loadSamples();
    const list = await load("troubles");
    for (const [kind, title] of [["failed", "Failed"], ["warned", "Warned"]]) {
      const reasons = list.filter((trouble) => trouble.kind === kind);
      if (reasons.length) main.append(element("h2", {}, title), ...reasons.map(troubleCard));
    }
  },
});

function troubleCard(trouble) {
  const row = rows[trouble.row];
  const links = trouble.items.slice(0, MOST_LISTED).map((index) => {
    const item = samples.items[index];
    return element("li", {}, element("a", { href: compareAddress(item, [row], "source"), onclick: () => (compareOrder = null) }, item.id, item.seed ? ` · seed ${item.seed}` : ""));
  });
  const rest = trouble.items.length - links.length;
  return element(
    "details",
    { class: "card trouble" },
    element("summary", {}, element("span", { class: "name" }, swatch(row), rowName(row)), element("b", {}, count(trouble.items.length, "edit")), element("span", {}, trouble.stage ? `${trouble.stage}: ` : "", trouble.reason)),
    element("ul", {}, links, rest > 0 ? element("li", { class: "quietly" }, `and ${rest.toLocaleString("en")} more`) : null),
  );
}
