// Draws the trade-off and the learning curves of the run that is shown, without any network.
"use strict";
{
  const charts = JSON.parse(document.getElementById("embedded-charts").textContent);
  const { embedded, read, label, address } = window.stpruneRuns;
  const { runs, means } = embedded;

  // Vega would evaluate text as code; its interpreter needs no such right (`ast`). No menu: its
  // entries lead out of the page.
  const options = { actions: false, ast: true, renderer: "svg", mode: "vega-lite" };

  const rows = (columns, names, count) => Array.from({ length: count }, (_, at) =>
    Object.fromEntries(names.map(name => [name, read(columns[name], at)])));
  const shared = ["place", "pruner", "prune_ratio", "change", "target_unit", "test_mae",
    "epoch_seconds", "total_seconds", "epoch_percent", "total_percent"];
  const shown = row => ({
    ...row, pruner: label(row.pruner), mae: row.test_mae, unit: row.target_unit ?? "",
    epoch: row.epoch_percent ?? row.epoch_seconds, total: row.total_percent ?? row.total_seconds,
  });

  function draw(box, spec, data, more = {}) {
    return vegaEmbed(box, { ...spec, datasets: data }, { ...options, ...more });
  }

  async function tradeoff() {
    const part = document.getElementById("tradeoff"), box = document.getElementById("tradeoff-chart");
    const own = ["id", "seed", "epochs", "gradient_steps", "budget", "fingerprint"];
    part.querySelector(".interactive").hidden = false;
    charts.tradeoff.params.find(param => param.name === "legend_columns").value =
      Math.max(1, Math.floor((box.clientWidth - 40) / 150));
    const drawn = await draw(box, charts.tradeoff, {
      runs: rows(runs, [...shared, ...own], runs.id.length).map(shown),
      means: rows(means, [...shared, "seeds", "spread"], means.seeds.length).map(shown),
    }, { bind: "#tradeoff-choices" });
    drawn.view.addEventListener("click", (_, item) => {
      if (item?.datum?.id) location.hash = address(item.datum.id);
    });
    // The picture stays for print, and where this did not work.
    part.classList.add("live");
  }

  async function curves() {
    const { rows: epochs, box } = window.stpruneCurves;
    const title = { validation_mae: "Validation MAE", train_loss: "Training loss" };
    const places = Object.keys(charts.curves).map(field => {
      const chart = document.createElement("div"), figure = document.createElement("figure");
      chart.className = "chart";
      chart.setAttribute("role", "figure");
      chart.setAttribute("aria-label", `${title[field]} of every epoch over the time of the run`);
      figure.append(chart);
      return [field, chart, figure];
    });
    // All of them first, as they share the width.
    box.append(...places.map(([, , figure]) => figure));
    for (const [field, chart] of places) {
      await draw(chart, charts.curves[field], { curve: epochs.filter(row => row[field] !== null) });
    }
  }

  addEventListener("stprune-run", curves);
  addEventListener("DOMContentLoaded", tradeoff);
}
