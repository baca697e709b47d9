// How it was made: commands, versions, seeds, digests, signatures, machine.

views.set("made", {
  title: "How it was made",
  draw(main) {
    main.append(element("h1", {}, "How it was made"), ...report.runs.map(runSection), signatures(), commandsOfRows());
    main.append(element("p", { class: "quietly" }, `Page made by icd-bench ${report.version}. It loads nothing from the network.`));
  },
});

function plainTable(heads, lines, label, kind = "") {
  return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label },
    element("table", { class: `main plain ${kind}`, "aria-label": label }, element("thead", {}, element("tr", {}, heads.map((head, index) => element("th", { scope: "col", class: index ? "" : "first" }, head)))), element("tbody", {}, lines.map((cells) => element("tr", {}, cells.map((cell, index) => element(index ? "td" : "th", index ? {} : { scope: "row" }, cell)))))));
}

function commandLine(command) {
  return element("div", { class: "command" }, element("code", {}, command), element("button", { type: "button", class: "quiet", onclick: () => copy(command, "Command") }, "Copy"));
}

function runSection(run) {
  const [command] = run.commands.slice(-1);
  const packages = command ? Object.entries(command.packages ?? {}).map(([name, version]) => `${name} ${version}`).join(", ") : "";
  const git = command?.git ? `${command.git.commit.slice(0, 12)}${command.git.dirty ? ", with local changes" : ""}` : "";
  const hardware = command?.hardware;
  const machine = hardware ? [...hardware.accelerators, hardware.processor, `${hardware.cores} cores`, `${(hardware.memory_bytes / 2 ** 30).toFixed(0)} GiB`, hardware.system].filter(Boolean).join(", ") : "";
  const entries = command ? [["Versions", `icd-bench ${command.icd_bench}${git ? ` (${git})` : ""}, Python ${command.python}`], ["Packages", packages], ["Machine", machine], ["Place", `${command.device}, ${command.dtype}, batches of ${command.batch_size}, engine ${command.engine}`], ["Protocol", command.protocol]] : [];
  return element(
    "section",
    { class: "made" },
    element("h2", {}, report.runs.length > 1 ? `Run ${run.name}` : "Commands"),
    run.commands.map((entry) => element("div", {}, element("p", { class: "quietly" }, `${entry.started} to ${entry.ended ?? "…"} · ${count(entry.rows ?? 0, "row")} of the benchmark, ${count(entry.unusable_rows ?? 0, "unusable one", "unusable ones")} · seed ${entry.seed}`), commandLine(entry.command))),
    element("dl", { class: "made" }, entries.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text)))),
    run.benchmarks.length ? plainTable(["Benchmark", "Title", "Licence", "Source"], run.benchmarks.map((card) => [card.name, card.title ?? "", card.licence ?? "", card.source ?? ""]), "Benchmarks") : null,
    plainTable(["Method", "Version", "Title", "Paper"], run.methods.map((card) => [card.name, String(card.version), card.title, card.paper]), "Methods"),
    plainTable(["Weights of", "For", "SHA-256"], run.weights.map((entry) => [entry.model, entry.method, element("code", {}, entry.digest)]), "Weights"),
  );
}

function signatures() {
  return element("section", {}, element("h2", {}, "Metrics"), plainTable(["Metric", "Column", "Signature"], columns.map((column) => [withUnit(column), element("code", {}, column.key), element("code", {}, column.signature)]), "Signatures"));
}

function commandsOfRows() {
  const list = rows.filter((row) => row.command);
  if (!list.length) return "";
  return element("section", {}, element("h2", {}, "Make one row again"), list.map((row) => element("div", {}, element("p", { class: "name" }, swatch(row), rowName(row)), commandLine(row.command))));
}
