// The little that our charts need: scales, ticks, marks.

const niceStep = (span, wanted) => {
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
};

function linearScale(values, [from, to], wanted = 5) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (!isFinite(low)) [low, high] = [0, 1];
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  [low, high] = [low - pad, high + pad];
  const step = niceStep(high - low, wanted);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) ticks.push(tick);
  const places = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return {
    at: (v) => from + ((v - low) / (high - low)) * (to - from),
    back: (position) => low + ((position - from) / (to - from)) * (high - low),
    ticks: ticks.map((tick) => [tick, written(Math.abs(tick) < step / 2 ? 0 : tick, places)]),
  };
}

function logScale(values, [from, to], wanted = 5) {
  const positive = values.filter((v) => v > 0 && isFinite(v)).map(Math.log10);
  let [low, high] = positive.length ? [Math.min(...positive), Math.max(...positive)] : [0, 1];
  const pad = Math.max(0.08, (high - low) * 0.08);
  [low, high] = [low - pad, high + pad];
  const factors = high - low > 1.5 ? [1] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const factor of factors) {
      const exponent = power + Math.log10(factor);
      if (exponent >= low && exponent <= high) ticks.push([10 ** exponent, significant(10 ** exponent)]);
    }
  }
  if (ticks.length < 2) return linearScale(values, [from, to], wanted);
  return {
    at: (v) => from + ((Math.log10(v) - low) / (high - low)) * (to - from),
    back: (position) => 10 ** (low + ((position - from) / (to - from)) * (high - low)),
    ticks,
  };
}

// A method's mark around the origin, so that methods differ without their colours too.
function markShape(row, size = 5) {
  const s = size;
  const polygon = (points) => svg("polygon", { points: points.map((p) => p.map((v) => (v * s).toFixed(2)).join(",")).join(" ") });
  if (row.anchor) return svg("circle", { r: s, class: "hollow" });
  const shapes = [
    () => svg("circle", { r: s }),
    () => svg("rect", { x: -s * 0.9, y: -s * 0.9, width: s * 1.8, height: s * 1.8 }),
    () => polygon([[0, -1.2], [1.1, 0.8], [-1.1, 0.8]]),
    () => polygon([[0, -1.3], [1.1, 0], [0, 1.3], [-1.1, 0]]),
    () => polygon([[0, 1.2], [1.1, -0.8], [-1.1, -0.8]]),
    () => polygon([[0, -1.2], [1.15, -0.3], [0.7, 1], [-0.7, 1], [-1.15, -0.3]]),
    () => polygon([[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]]),
    () => polygon([[0, -1.4], [0.4, -0.45], [1.3, -0.4], [0.6, 0.2], [0.85, 1.1], [0, 0.6], [-0.85, 1.1], [-0.6, 0.2], [-1.3, -0.4], [-0.4, -0.45]]),
  ];
  return shapes[methods.indexOf(row.method) % shapes.length]();
}

const path = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

// Save a drawing as it is shown, with its colours written out.
function saveSvg(drawing, name) {
  const copied = drawing.cloneNode(true);
  const shown = [drawing, ...drawing.querySelectorAll("*")];
  const styled = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "fill-opacity", "font-size", "font-family", "font-weight", "text-anchor"];
  [copied, ...copied.querySelectorAll("*")].forEach((node, index) => {
    const style = getComputedStyle(shown[index]);
    for (const property of styled) node.setAttribute(property, style.getPropertyValue(property));
    for (const attribute of ["class", "tabindex", "role", "aria-label"]) node.removeAttribute(attribute);
  });
  copied.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const text = new XMLSerializer().serializeToString(copied);
  const link = element("a", { href: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`, download: name });
  link.click();
}
