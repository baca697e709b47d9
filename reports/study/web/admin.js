// The page of progress: drawn from data in the page, then every five seconds from the server.
"use strict";

const byId = (id) => document.getElementById(id);
const EVERY = 5000; // ms

function draw(state) {
  const sum = (name) => state.raters.reduce((total, rater) => total + rater[name], 0);
  const [done, total] = [sum("done"), sum("total")];
  document.title = `${Math.floor((100 * done) / Math.max(total, 1))} % – ${state.title}`;
  byId("title").textContent = state.title;
  byId("subtitle").textContent = `Study ${state.study}`;
  byId("share").textContent = `${Math.floor((100 * done) / Math.max(total, 1))} %`;
  byId("done").textContent = `${done} of ${total}`;
  byId("started").textContent =
    `${state.raters.filter((rater) => rater.last).length} of ${state.raters.length}`;
  byId("open").textContent = state.pairs.find((row) => row.judgements === 0)?.pairs ?? 0;
  byId("raters").replaceChildren(...state.raters.map(raterRow));
  const all = state.pairs.reduce((count, row) => count + row.pairs, 0);
  byId("pairs").replaceChildren(...state.pairs.map((row) => tableRow(
    [cell(row.judgements, "number"), cell(row.pairs, "number"), bar(row.pairs, all)])));
}

function raterRow(rater) {
  const copy = document.createElement("button");
  copy.type = "button";
  copy.textContent = "Copy";
  copy.setAttribute("aria-label", `Copy the link of ${rater.rater}`);
  copy.addEventListener("click", async () => {
    const link = new URL(rater.link, location.href).href;
    if (!navigator.clipboard) { prompt("The link to copy", link); return; } // no https: no clipboard
    await navigator.clipboard.writeText(link);
    copy.textContent = "Copied";
  });
  const last = cell(rater.last ? ago(rater.last) : "not yet");
  last.title = rater.last;
  const actions = cell(copy, "actions");
  if (rater.done < rater.total) actions.append(reassignButton(rater));
  return tableRow([cell(rater.rater), bar(rater.done, rater.total),
    cell(`${rater.done} of ${rater.total}`, "number"), last, actions]);
}

function reassignButton(rater) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Reassign";
  button.setAttribute("aria-label", `Give the open pairs of ${rater.rater} to the other raters`);
  button.addEventListener("click", async () => {
    if (!confirm(`Give the open pairs of ${rater.rater} to the other raters? Answers stay.`)) return;
    const reply = await fetch(`${location.pathname}/reassign`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ rater: rater.rater }),
    });
    const state = reply.ok ? await reply.json() : null;
    if (state) draw(state);
    byId("fresh").textContent = state
      ? `${state.moved} open pairs of ${rater.rater} are on other lists now` : await reply.text();
    byId("fresh").className = state ? "" : "trouble";
  });
  return button;
}

function tableRow(cells) {
  const row = document.createElement("tr");
  row.append(...cells);
  return row;
}

function cell(content, name = "") {
  const place = document.createElement("td");
  place.className = name;
  place.append(content);
  return place;
}

function bar(value, max) {
  const progress = document.createElement("progress");
  progress.value = value;
  progress.max = Math.max(max, 1);
  progress.setAttribute("aria-label", `${value} of ${max}`);
  return cell(progress, "wide");
}

function ago(time) {
  const seconds = Math.max(0, (Date.now() - new Date(time)) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

async function refresh() {
  try {
    const reply = await fetch(`${location.pathname}/progress`);
    if (!reply.ok) throw new Error(reply.statusText);
    if (!byId("raters").contains(document.activeElement)) draw(await reply.json());
    byId("fresh").textContent = `As of ${new Date().toLocaleTimeString()}`;
    byId("fresh").className = "";
  } catch {
    byId("fresh").textContent = "The server does not answer; this is an older state";
    byId("fresh").className = "trouble";
  }
}

draw(JSON.parse(byId("study").textContent));
byId("fresh").textContent = `As of ${new Date().toLocaleTimeString()}`;
setInterval(refresh, EVERY);
