// Sorts and filters tables; draws the charts. Vega's interpreter (ast) needs no right to evaluate.
"use strict";
for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0], heads = [...[...table.tHead.rows].at(-1).cells];
  const value = (row, at) => row.cells[at].dataset.sort ?? row.cells[at].textContent;
  const order = new Intl.Collator("en", { numeric: true });
  heads.forEach((head, at) => head.firstElementChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    const numeric = head.classList.contains("n");
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const missing = row => "missing" in row.cells[at].dataset;
    const compare = (a, b) => numeric ? value(a, at) - value(b, at) : order.compare(value(a, at), value(b, at));
    body.append(...[...body.rows].sort((a, b) => missing(a) - missing(b) || (up ? 1 : -1) * compare(a, b)));
  }));
  const box = table.parentElement.previousElementSibling, rows = [...body.rows];
  const input = box.querySelector("input"), output = box.querySelector("output"), all = output.textContent;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    output.textContent = words.length ? `${rows.filter(row => !row.hidden).length} of ${all}` : all;
  });
  box.hidden = false;
}
const drawn = new Set();
async function draw(box) {
  const name = box.dataset.chart, section = box.parentElement;
  if (drawn.has(name)) return;
  drawn.add(name);
  const spec = JSON.parse(document.getElementById(`${name}-chart`).textContent);
  box.hidden = false;
  for (const part of spec.vconcat ?? []) part.width = Math.max(180, box.clientWidth - 100);
  spec.params.find(param => param.name === "legend_columns").value = Math.max(1, Math.floor((box.clientWidth - 40) / 150));
  const options = { actions: false, ast: true, renderer: "svg", mode: "vega-lite", bind: "#choices" };
  await vegaEmbed(box, spec, options);
  // The picture stays for print, and where this did not work.
  section.classList.add("live");
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => { part.open = true; }));
addEventListener("DOMContentLoaded", () => {
  for (const box of document.querySelectorAll("[data-chart]")) {
    const fold = box.closest("details");
    // What is folded has no width yet.
    if (fold) fold.addEventListener("toggle", () => fold.open && draw(box));
    else draw(box);
  }
});
