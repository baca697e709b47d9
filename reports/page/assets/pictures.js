// Pictures lie on one sheet per item; a canvas shows a tile without its neighbours.

const TILES_A_LINE = 8;
const inlinedPictures = readInlined("pictures");
const images = new Map();
const MOST_IMAGES = 400;
const MOST_WORDS = 200;

let samples = null;

async function loadSamples() {
  if (samples) return samples;
  samples = await load("samples");
  samples.items.forEach((item, index) => (item.index = index));
  return samples;
}

async function image(name) {
  if (images.has(name)) return images.get(name);
  if (images.size > MOST_IMAGES) images.delete(images.keys().next().value);
  const source = inlinedPictures ? (await inlinedPictures)[name] : `pictures/${name}`;
  const loaded = new Promise((resolve, reject) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = () => reject(new Error(`pictures/${name} is missing beside this page`));
    picture.src = source;
  });
  images.set(name, loaded);
  return loaded;
}

const stateOf = (row, item) => samples.states[row.index][item.index];
const hasPicture = (row, item) => "kw".includes(stateOf(row, item));

// Where a picture lies on its sheet: source, true edit, then the rows that have one.
function slotOf(item, what) {
  if (what === "source") return item.stems > 0 ? 0 : -1;
  if (what === "target") return item.stems > 1 ? 1 : -1;
  if (!hasPicture(what, item)) return -1;
  let slot = item.stems;
  for (let index = 0; index < what.index; index += 1) slot += hasPicture(rows[index], item) ? 1 : 0;
  return slot;
}

// Return { image, x, y, size }: the square of an image that holds a picture; null for none.
async function find(item, what, inFull = false) {
  const slot = slotOf(item, what);
  return slot < 0 ? null : findSlot(item, slot, inFull);
}

async function findSlot(item, slot, inFull) {
  if (inFull && item.large) {
    return { image: await image(`${item.index}-${slot}.jpg`), x: 0, y: 0, size: item.size };
  }
  const sheet = await image(`${item.index}.${item.large ? "jpg" : "webp"}`);
  const [line, column] = [Math.floor(slot / TILES_A_LINE), slot % TILES_A_LINE];
  return { image: sheet, x: column * item.tile, y: line * item.tile, size: item.tile };
}

async function findMask(item) {
  return item.mask ? { image: await image(`${item.index}-mask.png`), x: 0, y: 0, size: item.size } : null;
}

// Draw a found picture into a square canvas; zoom 1 shows all of it, (left, top) in [0, 1].
function paint(canvas, found, { zoom = 1, left = 0, top = 0 } = {}) {
  const side = fit(canvas);
  const brush = canvas.getContext("2d");
  const part = found.size / zoom;
  brush.imageSmoothingEnabled = part > side / 1.5;
  brush.drawImage(
    found.image,
    found.x + left * (found.size - part),
    found.y + top * (found.size - part),
    part, part, 0, 0, side, side,
  );
}

// Give a canvas the pixels of the screen it covers, empty.
function fit(canvas) {
  const side = Math.max(1, Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)));
  canvas.width = side;
  canvas.height = side;
  return side;
}

// Words of the target prompt that the source prompt lacks are marked, and the other way round.
function prompts(item) {
  const words = (text) => text.split(/\s+/).filter(Boolean);
  const [source, target] = [words(item.source), words(item.target)];
  return [
    element("p", { class: "prompt from" }, marked(source, target, "del")),
    element("p", { class: "prompt to" }, marked(target, source, "ins")),
  ];
}

// The longest common subsequence stays plain.
function marked(words, others, tag) {
  if (words.length * others.length > MOST_WORDS ** 2) return [words.join(" ")];
  const lengths = Array.from({ length: words.length + 1 }, () => new Array(others.length + 1).fill(0));
  for (let i = words.length - 1; i >= 0; i -= 1) {
    for (let j = others.length - 1; j >= 0; j -= 1) {
      lengths[i][j] = words[i] === others[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const nodes = [];
  let j = 0;
  for (let i = 0; i < words.length; ) {
    if (j < others.length && words[i] === others[j]) {
      nodes.push(words[i], " ");
      [i, j] = [i + 1, j + 1];
    } else if (j < others.length && lengths[i][j + 1] > lengths[i + 1][j]) {
      j += 1;
    } else {
      nodes.push(element(tag, {}, words[i]), " ");
      i += 1;
    }
  }
  return nodes;
}
