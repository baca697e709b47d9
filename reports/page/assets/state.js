// What is shown is in the address, so that every view can be sent: #view?name=value&...

const views = new Map();
let place = readPlace();
let leave = () => {};

function readPlace() {
  const [name, query = ""] = location.hash.slice(1).split("?");
  return { view: name, values: new URLSearchParams(query) };
}

function address(view, values) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== "" && value !== null && value !== undefined) query.set(name, value);
  }
  const text = query.toString();
  return `#${view}${text ? `?${text}` : ""}`;
}

const value = (name, otherwise = "") => place.values.get(name) ?? otherwise;

// Keep a choice in the address without a step in the browser's history.
function keep(changes) {
  history.replaceState(null, "", address(place.view, { ...Object.fromEntries(place.values), ...changes }));
  place = readPlace();
}

function change(changes) {
  keep(changes);
  show();
}

function go(view, values = {}) {
  location.hash = address(view, { block: value("block"), rows: value("rows"), ...values });
}

function show() {
  place = readPlace();
  if (!views.has(place.view)) place.view = "summary";
  leave();
  leave = () => {};
  const main = document.getElementById("main");
  document.body.dataset.view = place.view;
  const drawn = element("div", {});
  main.replaceChildren(drawn);
  for (const link of document.querySelectorAll("#views a")) {
    const here = link.dataset.view === (place.view === "compare" ? "pictures" : place.view);
    link.toggleAttribute("aria-current", here);
    if (here) link.setAttribute("aria-current", "page");
    link.href = address(link.dataset.view, { block: value("block"), rows: value("rows") });
  }
  // A view that another one has replaced while its data came has nothing to leave behind.
  const take = (left) => (drawn.isConnected ? (leave = left ?? leave) : left?.());
  Promise.resolve(views.get(place.view).draw(drawn)).then(take, failed);
}

function failed(error) {
  document.getElementById("main").append(element("p", { class: "notice" }, error.message));
  throw error;
}

// Benchmarks are never compared with one another: one is chosen for all views.
const blockOf = (row) => JSON.stringify(row.block);
const blocks = [...new Set(rows.map(blockOf))];
const blockName = (block) => JSON.parse(block).filter(Boolean).join(" · ");
const chosenBlock = () => (blocks.includes(value("block")) ? value("block") : blocks[0]);
const rowsHere = () => rows.filter((row) => blockOf(row) === chosenBlock());

function blockField() {
  if (blocks.length < 2) return null;
  return select("Benchmark", blocks.map((block) => [block, blockName(block)]), chosenBlock(), (block) => change({ block }));
}

// Rows shown as columns of pictures: the reader's, else one setting of each method.
function chosenRows() {
  const here = rowsHere();
  const asked = value("rows").split(",").map((key) => rowOf.get(key)).filter((row) => row && here.includes(row));
  return asked.length ? here.filter((row) => asked.includes(row)) : typicalRows(here);
}

function typicalRows(here) {
  const competitors = here.filter((row) => !row.anchor && row.n);
  const kinds = Map.groupBy
    ? [...Map.groupBy(competitors, kindOf).values()]
    : [...new Set(competitors.map(kindOf))].map((kind) => competitors.filter((row) => kindOf(row) === kind));
  const typical = kinds.map((alike) => alike.find((row) => row.defaults) ?? alike[alike.length >> 1]);
  return typical.length ? typical.sort((a, b) => a.index - b.index) : here;
}

const kindOf = (row) => `${row.method}\n${row.version}\n${row.digest}`;

function rowPicker(after) {
  const here = rowsHere();
  const shown = new Set(chosenRows());
  const set = (chosen) => after({ rows: here.filter((row) => chosen.has(row)).map((row) => row.key).join(",") });
  const boxes = here.map((row) => {
    const box = element("input", {
      type: "checkbox",
      checked: shown.has(row),
      onchange: () => {
        box.checked ? shown.add(row) : shown.delete(row);
        if (shown.size) set(shown);
        else box.checked = Boolean(shown.add(row));
      },
    });
    return element("label", { class: "tick" }, box, swatch(row), element("span", {}, rowName(row)));
  });
  const all = element("button", { type: "button", onclick: () => set(new Set(here)) }, "All");
  const one = element("button", { type: "button", onclick: () => set(new Set(typicalRows(here))) }, "One setting each");
  return element(
    "details",
    { class: "picker" },
    element("summary", {}, `Rows: ${shown.size} of ${here.length}`),
    element("div", { class: "sheet" }, element("div", { class: "buttons" }, all, one), boxes),
  );
}
