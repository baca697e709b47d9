// Data, elements and numbers.

const report = JSON.parse(document.getElementById("report").textContent);
const rows = report.rows.map((row, index) => ({ ...row, index }));
const columns = report.columns.map((column, index) => ({ ...column, index }));
const columnOf = new Map(columns.map((column) => [column.key, column]));
const rowOf = new Map(rows.map((row) => [row.key, row]));

// Parts that are files of their own: scripts, because a page opened from the disk cannot fetch.
const parts = new Map();
const deliveries = new Map();
window.icdBenchReport = { deliver: (name, part) => deliveries.get(name)(part) };

function load(name) {
  if (!parts.has(name)) parts.set(name, readInlined(`part-${name}`) ?? loadScript(name));
  return parts.get(name);
}

function readInlined(id) {
  const holder = document.getElementById(id);
  return holder ? Promise.resolve(JSON.parse(holder.textContent)) : null;
}

function loadScript(name) {
  return new Promise((resolve, reject) => {
    deliveries.set(name, resolve);
    const script = element("script", { src: `data/${name}.js` });
    script.onerror = () => reject(new Error(`data/${name}.js is missing beside this page`));
    document.head.append(script);
  });
}

const loadScores = (column) => load(`scores-${column.index}`);

// element("a", { class: "x", href: "#y", onclick: f }, "text", child): text is never markup.
function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const options = (pairs, chosen) =>
  pairs.map(([value, text]) => element("option", { value, selected: value === chosen }, text));

function select(label, pairs, chosen, change) {
  const field = element("select", { onchange: () => change(field.value) }, options(pairs, chosen));
  return element("label", { class: "field" }, element("span", {}, label), field);
}

// Scores: null is "not there"; infinities are words.
const toNumber = (value) => (value === null || value === undefined ? NaN : Number(value));

function mean(row, column) {
  const [middle, low, high, n] = row.values[column.index];
  return { mean: toNumber(middle), low: toNumber(low), high: toNumber(high), n };
}

// As many decimals as show the typical interval with two digits.
const decimals = new Map(columns.map((column) => [column.key, decimalsOf(column)]));

function decimalsOf(column) {
  const values = rows.map((row) => mean(row, column)).filter((value) => isFinite(value.mean));
  const widths = values.map((value) => (value.high - value.low) / 2).filter((width) => width > 0);
  widths.sort((a, b) => a - b);
  const largest = Math.max(0, ...values.map((value) => Math.abs(value.mean)));
  const scale = widths.length ? widths[widths.length >> 1] / 10 : largest / 100;
  return scale > 0 ? Math.min(4, Math.max(0, -Math.floor(Math.log10(scale)))) : 2;
}

function written(value, places) {
  if (Number.isNaN(value)) return "–";
  if (!isFinite(value)) return value > 0 ? "∞" : "−∞";
  return value.toFixed(places).replace("-", "−");
}

const score = (value, column) => written(toNumber(value), Math.max(3, decimals.get(column.key)));

function margin(value) {
  return (value.high - value.low) / 2;
}

function significant(value, digits = 2) {
  return Number.isNaN(value) ? "–" : String(Number(value.toPrecision(digits)));
}

function duration(seconds) {
  if (seconds < 90) return `${significant(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
const arrow = (column) => ({ higher: "↑", lower: "↓" })[column.direction] ?? "";
const isRanked = (column) => column.direction !== "neither";
const heading = (column) => `${column.title}${column.key === column.key.split(" [")[0] ? "" : ` ${column.key.match(/\[\d+\]$/)}`}`;
const withUnit = (column) => (column.unit ? `${heading(column)} (${column.unit})` : heading(column));
const settingName = (row) => row.label || "default";
const rowName = (row) => (row.anchor && !row.label ? row.method : `${row.method} ${settingName(row)}`);
const readable = (word) => word.replace(/^\d+_/, "").replaceAll("_", " ");

// Better values are larger.
const goodness = (value, column) => (column.direction === "higher" ? value : -value);

// A colour and a mark for each method, the same everywhere.
const methods = [...new Set(rows.filter((row) => !row.anchor).map((row) => row.method))];
const anchors = [...new Set(rows.filter((row) => row.anchor).map((row) => row.method))];
const colour = (row) => (row.anchor ? "var(--anchor)" : `var(--method-${methods.indexOf(row.method) % 8})`);
const MARKS = ["●", "■", "▲", "◆", "▼", "⬟", "✚", "★"];
// Long names may break after _ and =.
const breakable = (text) => text.split(/(?<=[_=,])/).flatMap((part, index) => (index ? [element("wbr"), part] : [part]));
const mark = (row) => (row.anchor ? "○" : MARKS[methods.indexOf(row.method) % 8]);
const swatch = (row) =>
  element("span", { class: "swatch", style: `color:${colour(row)}`, "aria-hidden": "true" }, mark(row));

const saidLine = document.getElementById("said");

function say(text) {
  saidLine.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (saidLine.textContent = ""), 2500);
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element("textarea", { class: "offscreen" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  say(`${what} copied`);
}
