"use strict";
// Everything is made with textContent: what kernels say is never markup. Rows are made when they come into view.
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const text = (number) => data.texts[number ?? 0];
const CHUNK = 300; // rows made at a time
const SYMBOLS = {
  "passed": "✓", "failed": "✗", "timed out": "…", "crashed": "✱", "flaky": "≈", "lost": "?",
  "unexpected pass": "!", "expected failure": "–", "skipped": "·",
};

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const idOf = (row) => `${data.suites[row.suite]}::${text(row.id)}`;
const isBad = (cell) => !data.statuses[cell.s].fine;
const colour = (cell) => {
  const word = data.statuses[cell.s].word;
  if (isBad(cell)) return "bad";
  if (cell.flaky || word === "expected failure") return "warn";
  return word === "skipped" ? "dim" : "good";
};
function time(seconds) {
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(1)} ms`;
  return seconds < 100 ? `${seconds.toFixed(2)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

function header() {
  const some = data.cases.length === data.all ? `${data.all} cases` : `${data.cases.length} of ${data.all} cases`;
  byId("meta").append(`${some} on ${data.targets.length} target${data.targets.length === 1 ? "" : "s"}, `,
    make("time", { datetime: data.started }, data.started), ` · kconform ${data.kconform} · case files `,
    make("code", { title: data.sha256 }, data.sha256.slice(0, 12)));
  byId("partial").hidden = !data.partial;
  byId("nothing").hidden = !data.nothing_ran;
  byId("trouble").hidden = data.trouble.length === 0;
  byId("trouble").append(...data.trouble.map((said) => make("p", { class: "bad" }, said)));
  const there = data.statuses.map((_, s) => s).filter((s) => s === 0 || data.targets.some((t) => t.counts[s]));
  const headings = ["Target", "Kernel", ...there.map((s) => data.statuses[s].word), "time"];
  byId("targets").tHead.append(make("tr", {}, ...headings.map((h) => make("th", { scope: "col" }, h))));
  const meanings = data.statuses.filter((_, s) => there.includes(s)).flatMap((status) => [
    make("dt", {}, `${SYMBOLS[status.word]} ${status.word}`), make("dd", {}, status.means),
  ]);
  byId("words").append(...meanings);
  for (const target of data.targets) {
    const kernel = make("td", {}, target.kernel);
    if (target.settings) kernel.append(make("div", { class: "dim" }, `settings: ${target.settings}`));
    if (target.lost) kernel.append(make("div", { class: "bad" }, `lost: ${target.lost}`));
    byId("targets").tBodies[0].append(make("tr", {}, make("th", { scope: "row" }, target.name), kernel,
      ...there.map((s) => {
        const none = target.counts[s] === 0;
        return make("td", { class: `number ${none ? "dim" : data.statuses[s].fine ? "" : "bad"}` }, String(target.counts[s]));
      }),
      make("td", { class: "number" }, time(target.seconds))));
  }
}

// ---- what a cell opens

function more(row, nth) {
  const cell = row.results[nth];
  const target = data.targets[nth].name;
  const td = make("td", { colspan: data.targets.length + 1 });
  const status = make("strong", { class: colour(cell) }, data.statuses[cell.s].word);
  td.append(make("div", {}, status, ` on ${target}`, cell.us ? ` in ${time(cell.us / 1e6)}` : ""));
  if (row.about) td.append(make("p", {}, text(row.about)));
  const list = make("dl");
  const say = (name, content) => content && list.append(make("dt", {}, name), make("dd", {}, content));
  if (cell.wrong) {
    say("expected", text(cell.wrong[0]));
    say("got", text(cell.wrong[1]));
    say("the case says", make("code", {}, text(cell.wrong[2])));
    say("at", text(cell.wrong[3]));
    cell.wrong.slice(4).forEach((also) => say("also", text(also)));
    const word = data.statuses[cell.s].word;
    if (word === "expected failure") say("known issue", text(cell.says));
    else if (word !== "failed") say("why", text(cell.says));
  } else if (cell.says) {
    say("why", text(cell.says));
  }
  say("flaky", text(cell.flaky).replace(/^flaky: /, ""));
  say("settings", text(cell.set));
  say("note", text(cell.remark));
  td.append(list);
  if (cell.steps) {
    const pre = make("pre", { tabindex: "0", "aria-label": "steps" });
    for (const line of text(cell.steps).split("\n")) {
      pre.append(line.startsWith(">") ? make("mark", {}, line) : line, "\n");
    }
    td.append(make("h3", {}, "Steps"), pre);
  }
  if (cell.log) td.append(make("h3", {}, "The kernel said"), make("pre", { class: "log", tabindex: "0", "aria-label": "kernel log" }, text(cell.log)));
  const end = make("dl");
  const add = (name, content) => content && end.append(make("dt", {}, name), make("dd", {}, content));
  add("source", text(row.source));
  add("tags", text(row.tags));
  add("case", make("a", { href: caseAddress(row) }, `${text(row.file)}:${row.line}`));
  add("run it again", make("code", {}, `kconform run --target ${target} --exact '${idOf(row).replaceAll("'", "'\\''")}'`));
  td.append(end);
  return make("tr", { class: "more" }, td);
}

// The case file: at the commit where the forge has it, else beside the page if that lies where kconform ran.
function caseAddress(row) {
  const file = text(row.file);
  const local = file.split("/").map(encodeURIComponent).join("/");
  return data.forge && !file.startsWith("/") ? `${data.forge}/${local}#L${row.line}` : local;
}

function toggle(button) {
  const tr = button.closest("tr");
  const open = button.getAttribute("aria-expanded") === "true";
  tr.querySelectorAll(".cell[aria-expanded=true]").forEach((other) => other.setAttribute("aria-expanded", "false"));
  if (tr.nextElementSibling?.classList.contains("more")) tr.nextElementSibling.remove();
  const state = new URLSearchParams(kept);
  ["open", "on"].forEach((name) => state.delete(name));
  if (!open) {
    const row = data.cases[tr.dataset.row];
    const nth = Number(button.dataset.target);
    button.setAttribute("aria-expanded", "true");
    tr.after(more(row, nth));
    state.set("open", idOf(row));
    state.set("on", data.targets[nth].name);
  }
  remember(state);
}

// ---- the matrix

function rowOf(number, whole) {
  const row = data.cases[number];
  const name = whole ? idOf(row) : text(row.id);
  const tr = make("tr", { "data-row": number }, make("th", { scope: "row", title: text(row.about) }, name));
  row.results.forEach((cell, nth) => {
    const word = data.statuses[cell.s].word;
    const button = make("button", {
      type: "button", class: `cell ${colour(cell)}`, "data-target": nth, "aria-expanded": "false",
      title: text(cell.says) || false, "aria-label": `${text(row.id)} on ${data.targets[nth].name}: ${word}${cell.flaky ? ", flaky" : ""}`,
    }, `${SYMBOLS[word]} ${word}${cell.flaky ? " (flaky)" : ""}`);
    tr.append(make("td", {}, button));
  });
  return tr;
}

// Makes the next rows whenever the end of the table comes into view.
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) entry.target.grow();
}, { rootMargin: "800px" });

function fill(section, numbers, whole, all = false) {
  const body = section.querySelector("tbody");
  const rest = section.querySelector(".rest");
  let made = 0;
  rest.grow = (count = CHUNK) => {
    const next = numbers.slice(made, made + count);
    made += next.length;
    body.append(...next.map((number) => rowOf(number, whole)));
    rest.textContent = made < numbers.length ? `${numbers.length - made} more rows` : "";
    if (made >= numbers.length) watcher.unobserve(rest);
  };
  rest.grow(all ? numbers.length : CHUNK);
  watcher.observe(rest);
}

function section(title, numbers, open, whole = false) {
  const bad = numbers.filter((n) => data.cases[n].results.some(isBad)).length;
  const tally = `${numbers.length} case${numbers.length === 1 ? "" : "s"}`;
  const summary = make("summary", {}, make("h2", {}, title), make("span", { class: "tally" }, tally));
  if (bad) summary.lastChild.append(", ", make("span", { class: "bad" }, `${bad} not as it should be`));
  const head = make("tr", {}, make("th", { scope: "col" }, "Case"), ...data.targets.map((t) => make("th", { scope: "col" }, t.name)));
  const table = make("table", { class: "matrix" }, make("caption", {}, title), make("thead", {}, head), make("tbody"));
  const details = make("details", { class: whole && "worst" }, summary, table, make("div", { class: "rest", "aria-hidden": "true" }));
  details.show = (all) => {
    if (!details.filled) {
      details.filled = true;
      fill(details, numbers, whole, all);
    } else if (all) {
      details.querySelector(".rest").grow(numbers.length);
    }
  };
  details.addEventListener("toggle", () => details.open && details.show());
  if (open) {
    details.open = true;
    details.show();
  }
  return details;
}

// What is worth looking at comes first.
const rank = (number) => {
  const row = data.cases[number];
  const bad = row.results.some(isBad);
  return row.divergent ? 0 : bad ? 1 : row.results.some((cell) => cell.flaky) ? 2 : 3;
};

function matching() {
  const words = byId("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const status = byId("status").value;
  const target = byId("target").value;
  const errno = byId("errno").value;
  const onlyDivergent = byId("divergent").checked;
  const wanted = (cell) => {
    if (status === "bad" && !isBad(cell)) return false;
    if (status === "flaky" && !cell.flaky) return false;
    if (/^\d/.test(status) && cell.s !== Number(status)) return false;
    return !errno || text(cell.errnos).includes(` ${errno} `);
  };
  const found = [];
  data.cases.forEach((row, number) => {
    if (onlyDivergent && !row.divergent) return;
    const cells = target === "" ? row.results : [row.results[Number(target)]];
    if ((status || errno) && !cells.some(wanted)) return;
    if (words.length) {
      const hay = `${idOf(row)} ${text(row.about)} ${text(row.tags)} ${text(row.source)} ${cells.map((c) => text(c.says)).join(" ")}`.toLowerCase();
      if (!words.every((word) => hay.includes(word))) return;
    }
    found.push(number);
  });
  return found;
}

const FEW = 100; // so many rows are shown unfolded

function show() {
  const found = matching();
  const place = byId("suites");
  watcher.disconnect();
  const differ = found.filter((n) => data.cases[n].divergent);
  const failing = found.filter((n) => rank(n) === 1);
  const sections = [];
  if (differ.length) sections.push(section("Targets differ", differ, true, true));
  if (failing.length) sections.push(section("Not as it should be, without targets that differ", failing, true, true));
  const suites = new Map();
  for (const number of found) {
    const suite = data.cases[number].suite;
    suites.has(suite) ? suites.get(suite).push(number) : suites.set(suite, [number]);
  }
  const ordered = [...suites].map(([suite, numbers]) => [suite, numbers.sort((a, b) => rank(a) - rank(b) || a - b)]);
  ordered.sort(([a, left], [b, right]) => (rank(left[0]) < 2 ? 0 : 1) - (rank(right[0]) < 2 ? 0 : 1) || a - b);
  for (const [suite, numbers] of ordered) sections.push(section(data.suites[suite], numbers, found.length <= FEW));
  place.replaceChildren(...sections);
  byId("count").textContent = `${found.length} of ${data.cases.length} cases`;
  const state = new URLSearchParams();
  for (const id of ["text", "status", "target", "errno"]) if (byId(id).value) state.set(id, byId(id).value);
  if (byId("divergent").checked) state.set("divergent", "1");
  remember(state);
}

// The filter and the open cell are kept in the address, so that they can be sent to others.
let kept = new URLSearchParams();
function remember(state) {
  kept = state;
  try {
    history.replaceState(null, "", `#${state}`);
  } catch {
    // A page that is shown inside another may not have an address of its own.
  }
}

function openFromAddress(address) {
  const state = new URLSearchParams(address.slice(1));
  const nth = data.targets.findIndex((target) => target.name === state.get("on"));
  const number = data.cases.findIndex((row) => idOf(row) === state.get("open"));
  if (number < 0 || nth < 0) return;
  const find = () => document.querySelector(`tr[data-row="${number}"] .cell[data-target="${nth}"]`);
  if (!find()) {
    const suite = data.suites[data.cases[number].suite];
    const details = [...document.querySelectorAll("main details")].find((d) => d.querySelector("caption").textContent === suite);
    if (!details) return;
    details.open = true;
    details.show(true);
  }
  const button = find();
  if (!button) return;
  toggle(button);
  button.scrollIntoView({ block: "center" });
  button.focus();
}

// ---- filter

function options() {
  const add = (id, value, label) => byId(id).append(make("option", { value }, label));
  add("status", "bad", "not as it should be");
  data.statuses.forEach((status, s) => data.targets.some((t) => t.counts[s]) && add("status", s, status.word));
  if (data.cases.some((row) => row.results.some((cell) => cell.flaky))) add("status", "flaky", "flaky");
  data.targets.forEach((target, nth) => add("target", nth, target.name));
  const errnos = new Set();
  const seen = new Set();
  for (const row of data.cases) {
    for (const cell of row.results) {
      if (!cell.errnos || seen.has(cell.errnos)) continue;
      seen.add(cell.errnos);
      text(cell.errnos).split(/\s+/).filter(Boolean).forEach((errno) => errnos.add(errno));
    }
  }
  [...errnos].sort().forEach((errno) => add("errno", errno, errno));
  setFilter(new URLSearchParams(location.hash.slice(1)));
}

function setFilter(state) {
  for (const id of ["text", "status", "target", "errno"]) byId(id).value = state.get(id) ?? "";
  byId("divergent").checked = state.has("divergent");
}

let waiting;
const later = () => {
  clearTimeout(waiting);
  waiting = setTimeout(show, 120);
};
["input", "change"].forEach((kind) => byId("filter").addEventListener(kind, later));
byId("filter").addEventListener("reset", later);
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("suites").addEventListener("click", (event) => {
  const button = event.target.closest(".cell");
  if (button) toggle(button);
});

// ---- keys

const cells = (tr) => [...tr.querySelectorAll(".cell")];
function neighbour(button, key) {
  const row = button.closest("tr");
  const here = cells(row).indexOf(button);
  if (key === "ArrowLeft" || key === "ArrowRight") return cells(row)[here + (key === "ArrowRight" ? 1 : -1)];
  let next = row;
  do next = key === "ArrowDown" ? next.nextElementSibling : next.previousElementSibling;
  while (next && !next.dataset.row);
  return next && cells(next)[here];
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const button = event.target.closest?.(".cell");
  if (event.key === "/" && !/INPUT|SELECT/.test(event.target.tagName)) {
    byId("text").focus();
    event.preventDefault();
  } else if (button && event.key.startsWith("Arrow")) {
    neighbour(button, event.key)?.focus();
    event.preventDefault();
  } else if (event.key === "Escape") {
    const row = event.target.closest?.("tr.more")?.previousElementSibling ?? button?.closest("tr");
    const open = row?.querySelector(".cell[aria-expanded=true]");
    if (open) {
      toggle(open);
      open.focus();
    }
  }
});

// On paper everything that the filter leaves is unfolded, and what is not as it should be is opened: nobody can click there.
const ON_PAPER = 200; // so many cells
addEventListener("beforeprint", () => {
  document.querySelectorAll("main details").forEach((details) => {
    details.show(true);
    details.open = true;
  });
  const rows = [...document.querySelectorAll(".worst tbody tr[data-row]")];
  rows.flatMap((tr) => cells(tr).filter((button) => button.matches(".bad")).map((button) => [tr, button]))
    .filter(([, button]) => button.getAttribute("aria-expanded") !== "true")
    .slice(0, ON_PAPER)
    .reverse() // each is put right after its row
    .forEach(([tr, button]) => {
      const opened = more(data.cases[tr.dataset.row], Number(button.dataset.target));
      opened.classList.add("paper");
      tr.after(opened);
    });
});
addEventListener("afterprint", () => document.querySelectorAll("tr.paper").forEach((tr) => tr.remove()));

// Another address was pasted.
addEventListener("hashchange", () => {
  const state = new URLSearchParams(location.hash.slice(1));
  if (state.toString() === kept.toString()) return;
  setFilter(state);
  show();
  openFromAddress(`#${state}`);
});

const wanted = location.hash;
header();
options();
show();
openFromAddress(wanted);
document.body.dataset.ready = String(Math.round(performance.now()));
