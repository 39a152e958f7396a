// Sorts a table by the column of the heading that was selected, and shows only the rows that hold
// every word of its filter. Cells without a value stay last either way.
"use strict";
{
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function sortable(table) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows].at(-1).cells;
    for (const [column, head] of [...heads].entries()) {
      const numeric = head.classList.contains("n");
      const key = row => {
        const cell = row.cells[column];
        if (numeric) return cell.dataset.sort === undefined ? undefined : Number(cell.dataset.sort);
        return cell.dataset.missing === undefined ? cell.textContent : undefined;
      };
      const compare = numeric ? (a, b) => a - b : collator.compare;
      head.firstElementChild.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].map(row => [key(row), row]);
        rows.sort(([a], [b]) => {
          if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
          return up ? compare(a, b) : compare(b, a);
        });
        body.append(...rows.map(([, row]) => row));
      });
    }
  }

  function filterable(table, box) {
    const rows = [...table.tBodies[0].rows];
    const texts = rows.map(row => [...row.cells].map(cell => cell.textContent).join(" ").toLowerCase());
    const input = box.querySelector("input"), output = box.querySelector("output");
    const all = `${rows.length} row${rows.length === 1 ? "" : "s"}`;
    const show = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [at, row] of rows.entries()) {
        row.hidden = !words.every(word => texts[at].includes(word));
        shown += !row.hidden;
      }
      output.textContent = words.length ? `${shown} of ${all}` : all;
    };
    input.addEventListener("input", show);
    box.hidden = false;
    // A browser may have kept what was typed before the page was loaded again.
    if (input.value) show();
  }

  for (const table of document.querySelectorAll("table.data")) {
    sortable(table);
    filterable(table, table.parentElement.previousElementSibling);
  }

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
}
