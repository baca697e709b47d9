// The assessor's page. One design, two keepers of answers: the browser (offline sheet) and a server.
"use strict";

const byId = (id) => document.getElementById(id);
const study = JSON.parse(byId("study").textContent);
const OUTCOMES = ["left", "tie", "right", "skip"];
const LABELS = { left: "Left", tie: "Equal", right: "Right", skip: "Skip" };
const HINTS = { left: "←", tie: "↓", right: "→", skip: "S" };
const KEYS = {
  ArrowLeft: "left", 1: "left", ArrowDown: "tie", 2: "tie", ArrowRight: "right", 3: "right",
  s: "skip", S: "skip",
};
const HAND_IS_OFF_THE_KEY = 150; // ms: a bouncing key must not answer the next pair

// ------------------------------------------------------------------------- keeping answers

const shelf = `study/${study.study}/${study.sheet}`;

function readShelf(name) {
  try { return JSON.parse(localStorage.getItem(`${shelf}/${name}`)) ?? []; } catch { return []; }
}

function writeShelf(name, value) {
  try { localStorage.setItem(`${shelf}/${name}`, JSON.stringify(value)); return true; } catch { return false; }
}

class BrowserKeeper {
  load() { return readShelf("answers"); }
  keep(answers) {
    if (writeShelf("answers", answers)) showSaved("saved", "Saved in this browser");
    else showSaved("trouble", "Cannot save here: download before you close this page");
  }
}

class ServerKeeper {
  constructor() { this.outbox = readShelf("outbox"); this.sending = false; this.wait = 250; }
  load() {
    const known = new Set(study.answers.map((answer) => answer.answer));
    return [...study.answers, ...this.outbox.filter((answer) => !known.has(answer.answer))];
  }
  keep(answers, newest) {
    if (newest) this.outbox.push(newest);
    writeShelf("outbox", this.outbox);
    this.send();
  }
  async send() {
    if (this.sending) return;
    this.sending = true;
    while (this.outbox.length) {
      showSaved("busy", "Saving…");
      let reply = null;
      try {
        reply = await fetch(`${study.api}/answers`, {
          method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify(this.outbox[0]),
        });
      } catch { /* no connection: tried again below */ }
      if (reply && (reply.ok || [400, 404, 409].includes(reply.status))) {
        // What the server refuses for good would be refused again: the pair went to somebody else.
        this.outbox.shift();
        this.wait = 250;
        writeShelf("outbox", this.outbox);
        if (!reply.ok) { location.reload(); return; }
      } else {
        showSaved("trouble", "Not saved yet, trying again");
        await new Promise((done) => setTimeout(done, this.wait));
        this.wait = Math.min(2 * this.wait, 8000);
      }
    }
    this.sending = false;
    showSaved("saved", "Saved");
  }
}

function showSaved(state, text) {
  byId("saved").dataset.state = state;
  byId("saved").textContent = text;
}

// --------------------------------------------------------------------------------- answers

const keeper = study.api ? new ServerKeeper() : new BrowserKeeper();
const slot = (task, question) => `${task}/${question}`;
let answers = [];
let current = { task: 0, question: 0 };
let clock = { shown: 0, hidden: 0, hiddenSince: 0 };
let lockedUntil = 0;

function replay(log) {
  const kept = new Map();
  for (const answer of log) {
    kept.delete(slot(answer.task, answer.question));
    if (answer.outcome !== "withdrawn") kept.set(slot(answer.task, answer.question), answer);
  }
  return [...kept.values()];
}

const answerOf = (task, question) =>
  answers.find((answer) => answer.task === task && answer.question === question);

function firstOpen() {
  for (let task = 0; task < study.tasks.length; task++)
    for (let question = 0; question < study.questions.length; question++)
      if (!answerOf(study.tasks[task].id, study.questions[question].id)) return { task, question };
  return { task: study.tasks.length, question: 0 };
}

function record(task, question, outcome, seconds) {
  const answer = {
    answer: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random().toString(16).slice(2)}`,
    study: study.study, sheet: study.sheet, task, question, outcome, seconds,
    at: new Date().toISOString(),
  };
  answers = replay([...answers, answer]);
  keeper.keep(answers, answer);
}

function choose(outcome, at = current.question) {
  if (byId("work").hidden || performance.now() < lockedUntil || byId("introduction").open) return;
  const task = study.tasks[current.task];
  const seconds = Math.max(0, (performance.now() - clock.shown - clock.hidden) / 1000);
  record(task.id, study.questions[at].id, outcome, Math.round(seconds * 100) / 100);
  const before = current.task;
  current = firstOpen();
  startClock();
  if (current.task !== before) { lockedUntil = performance.now() + HAND_IS_OFF_THE_KEY; show(); }
  else showQuestions();
}

function undo() {
  const last = answers.at(-1);
  if (!last || byId("introduction").open) return;
  record(last.task, last.question, "withdrawn", 0);
  current = firstOpen();
  show();
}

function startClock() { clock = { shown: performance.now(), hidden: 0, hiddenSince: 0 }; }

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clock.hiddenSince = performance.now();
  else if (clock.hiddenSince) clock.hidden += performance.now() - clock.hiddenSince;
});

// ----------------------------------------------------------------------------------- pages

const address = (name) => study.api ? `${study.api}/pictures/${name}` : study.pictures[name];

function show() {
  const done = current.task >= study.tasks.length;
  byId("work").hidden = done;
  byId("finished").hidden = !done;
  byId("undo").disabled = !answers.length;
  byId("finish-undo").hidden = !answers.length;
  byId("zoom").disabled = done;
  byId("progress").max = Math.max(study.tasks.length, 1);
  byId("progress").value = current.task;
  byId("count").textContent = done ? `${study.tasks.length} of ${study.tasks.length}`
    : `${current.task + 1} of ${study.tasks.length}`;
  if (done) {
    byId("finished-text").textContent = study.api
      ? "Thank you. Everything is saved; you can close this page."
      : "Thank you. Please download your answers and send the file back to whoever gave you this page.";
    return;
  }
  const task = study.tasks[current.task];
  byId("source-prompt").textContent = task.source_prompt;
  markNewWords(byId("target-prompt"), task.source_prompt, task.target_prompt);
  showPictures(task);
  showQuestions();
}

async function showPictures(task) {
  const stage = byId("stage");
  stage.classList.add("loading");
  const loaded = ["source", "left", "right"].map((side) => {
    const image = byId(side);
    image.src = address(task[side]);
    return image.decode().catch(() => {}).then(() => image.classList.toggle("small", image.naturalWidth < 256));
  });
  await Promise.all(loaded);
  if (study.tasks[current.task] !== task) return;
  stage.classList.remove("loading");
  startClock();
  const next = study.tasks[current.task + 1];
  if (next) for (const side of ["source", "left", "right"]) new Image().src = address(next[side]);
}

function showQuestions() {
  const task = study.tasks[current.task];
  byId("questions").replaceChildren(...study.questions.map((question, index) => {
    const active = index === current.question;
    const group = document.createElement("div");
    group.className = active ? "question active" : "question";
    group.setAttribute("role", "group");
    const text = document.createElement("span");
    text.className = "text";
    text.id = `question-${index}`;
    text.textContent = question.text;
    group.setAttribute("aria-labelledby", text.id);
    const choices = document.createElement("div");
    choices.className = "choices";
    for (const outcome of OUTCOMES) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = outcome;
      button.dataset.outcome = outcome;
      button.setAttribute("aria-pressed", String(answerOf(task.id, question.id)?.outcome === outcome));
      button.append(LABELS[outcome]);
      if (active) {
        const key = document.createElement("kbd");
        key.textContent = HINTS[outcome];
        button.append(" ", key);
      }
      button.addEventListener("click", () => choose(outcome, index));
      choices.append(button);
    }
    group.append(text, choices);
    return group;
  }));
  byId("undo").disabled = !answers.length;
}

function markNewWords(place, source, target) {
  const [a, b] = [source, target].map((text) => text.split(/\s+/).filter(Boolean));
  const common = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
  place.replaceChildren();
  for (let i = 0, j = 0; j < b.length;) {
    if (i < a.length && a[i] === b[j]) { place.append(b[j], " "); i++; j++; continue; }
    if (i < a.length && common[i + 1][j] >= common[i][j + 1]) { i++; continue; }
    const word = document.createElement("mark");
    word.textContent = b[j++];
    place.append(word, " ");
  }
}

// ----------------------------------------------------------------------------------- tools

function download() {
  const lines = answers.map(({ answer, ...row }) => JSON.stringify(row));
  const file = new Blob([`[\n${lines.join(",\n")}\n]\n`], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `answers-${study.sheet}-${study.study}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function askForMore() {
  try {
    const reply = await fetch(`${study.api}/more`, { method: "POST" });
    if (reply.ok && (await reply.json()).added) { location.reload(); return; }
    byId("finished-text").textContent = "There are no more pairs now. Thank you.";
  } catch {
    byId("finished-text").textContent = "The server cannot be reached now. Your answers are safe.";
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("study/theme", theme); } catch { /* a matter of comfort only */ }
}

function otherTheme() {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
}

function toggleZoom() {
  const zoomed = byId("stage").classList.toggle("zoomed");
  byId("zoom").setAttribute("aria-pressed", String(zoomed));
}

function pan(x, y) {
  const stage = byId("stage");
  const moved = (name, by) => {
    const now = parseFloat(stage.style.getPropertyValue(name) || "50");
    stage.style.setProperty(name, `${Math.min(100, Math.max(0, now + by))}%`);
  };
  moved("--x", x);
  moved("--y", y);
}

byId("stage").addEventListener("pointermove", (event) => {
  const frame = event.target.closest?.(".frame");
  if (!frame) return;
  const box = frame.getBoundingClientRect();
  byId("stage").style.setProperty("--x", `${(100 * (event.clientX - box.left)) / box.width}%`);
  byId("stage").style.setProperty("--y", `${(100 * (event.clientY - box.top)) / box.height}%`);
});

const PANS = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || byId("introduction").open) return;
  if (event.shiftKey && PANS[event.key]) pan(...PANS[event.key]);
  else if (KEYS[event.key]) choose(KEYS[event.key]);
  else if (event.key === "Backspace") undo();
  else if (event.key === "z" || event.key === "Z") toggleZoom();
  else if (event.key === "t" || event.key === "T") otherTheme();
  else if (event.key === "?") byId("introduction").showModal();
  else return;
  event.preventDefault();
});

byId("undo").addEventListener("click", undo);
byId("finish-undo").addEventListener("click", undo);
byId("zoom").addEventListener("click", toggleZoom);
byId("theme").addEventListener("click", otherTheme);
byId("help").addEventListener("click", () => byId("introduction").showModal());
byId("introduction").addEventListener("close", startClock);
for (const id of ["download", "finish-download"]) {
  byId(id).addEventListener("click", download);
  byId(id).hidden = Boolean(study.api);
}
byId("more").hidden = !study.api;
byId("more").addEventListener("click", askForMore);

// ----------------------------------------------------------------------------------- start

let theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
try { theme = localStorage.getItem("study/theme") ?? theme; } catch { /* as the system has it */ }
document.documentElement.dataset.theme = theme;
document.title = study.title;
byId("title").textContent = study.title;
byId("stage").style.setProperty("--below", `${13.5 + 4 * study.questions.length}rem`);
byId("keeping").textContent = study.api
  ? "Your answers are saved as you give them. You can stop at any time and come back by the same link."
  : "Your answers are kept in this browser as you give them. When you are done, download them and send the file back.";
answers = replay(keeper.load());
keeper.keep(answers);
current = firstOpen();
show();
if (!answers.length) byId("introduction").showModal();
