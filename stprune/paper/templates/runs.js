// Shows the run that the address names after "#run=": numbers, where its time went, its curves.
"use strict";
{
  const embedded = JSON.parse(document.getElementById("embedded-runs").textContent);
  const { runs, curves, labels, entries, parts } = embedded;
  const section = document.getElementById("run");
  const places = new Map(runs.id.map((id, at) => [id, at]));

  const read = (column, at) => (Array.isArray(column) ? column[at] : column.values[column.codes[at]]);
  const label = name => labels[name] ?? name;
  const run = at => Object.fromEntries(Object.keys(runs).map(name => [name, read(runs[name], at)]));

  // Up to four digits, as the tables group them; a dash for what is not known.
  const format = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  const number = value => (value === null ? "–" : format.format(value));
  const whole = value => (value === null ? "–" : value.toLocaleString("en"));
  const seconds = value => (value === null ? "–" : `${number(value)} s`);
  const percent = value => (value === null ? "–" : `${value.toFixed(1)} %`);
  const four = new Intl.NumberFormat("en", { minimumSignificantDigits: 4, maximumSignificantDigits: 4 });
  const score = value => (value === null ? "–" : four.format(value));
  const in_unit = (value, unit) => (value === null || !unit ? score(value) : `${score(value)} ${unit}`);

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function address(id) {
    return `#run=${id.split("/").map(encodeURIComponent).join("/")}`;
  }

  function table(caption, rows) {
    const body = element("tbody", {}, ...rows.map(([name, ...cells]) =>
      element("tr", {}, element("th", { scope: "row" }, name), ...cells)));
    const box = element("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": caption });
    box.append(element("table", { class: "plain" }, body));
    return element("div", {}, element("h3", {}, caption), box);
  }

  const cell = text => element("td", { class: "wrap" }, text);

  function scores(r) {
    const unit = r.target_unit;
    return table("Scores", [
      ["Test MAE", cell(in_unit(r.test_mae, unit))],
      ["Against full training", cell(r.change === null ? "–" : `${r.change < 0 ? "−" : "+"}${percent(Math.abs(r.change))}`)],
      ["Test RMSE", cell(in_unit(r.test_rmse, unit))],
      ["Test MAPE", cell(in_unit(r.test_mape, "%"))],
      ["MAE, windows with an incident", cell(score(r.test_mae_incident))],
      ["MAE, least stationary tenth", cell(score(r.test_mae_least_stationary))],
      ["MAE, worst node", cell(score(r.test_mae_worst_node))],
      ["Validation MAE", cell(`${in_unit(r.validation_mae, unit)}, epoch ${number(r.best_epoch)}`)],
      ["Reached full training's accuracy", cell(r.time_to_full_seconds === null ? "no, or not known" : `after ${seconds(r.time_to_full_seconds)}`)],
    ]);
  }

  function facts(r) {
    const rows = [
      ["Budget", cell(r.budget.replaceAll("_", " "))],
      ["Epochs", cell(`${whole(r.epochs)}, ${whole(r.gradient_steps)} gradient steps`)],
      ["Windows visited", cell(`${whole(r.windows_visited)}, of ${whole(r.training_windows)} to train on`)],
      ["Kept in a pruned epoch", cell(percent(100 * r.realised_keep_ratio))],
      ["Per-epoch time", cell(`${seconds(r.epoch_seconds)}, ${percent(r.epoch_percent)} of full training's; expected ${seconds(r.expected_epoch_seconds)}`)],
      ["Total time", cell(`${seconds(r.total_seconds)}, ${percent(r.total_percent)} of full training's`)],
      ["Peak memory", cell(`${number(r.peak_memory_bytes / 1e6)} MB`)],
      ["Energy", cell(r.processor_joules === null ? "not read" : `${number(r.processor_joules)} J, processor`)],
      ["Parameters", cell(whole(r.parameters))],
      ["Threads", cell(number(r.threads))],
      ["Started, finished", cell(`${r.started}, ${r.finished}`)],
      ["Resumed", cell(number(r.resumed))],
      ["Configuration, sources", cell(`${r.fingerprint}, ${r.source_digest}`)],
      ["Data, commit", cell(`${r.data_checksum}, ${r.git_commit ?? "not recorded"}`)],
    ];
    if (r.record !== null) {
      const link = element("a", { href: r.record.split("/").map(encodeURIComponent).join("/") }, r.record);
      rows.push(["Record", element("td", { class: "wrap" }, link)]);
    }
    return table("Run", rows);
  }

  function ledger(r) {
    const spent = parts.map(part => [part, r[`${part}_seconds`] ?? 0]);
    const all = spent.reduce((sum, [, value]) => sum + value, 0);
    const rows = spent.map(([part, value]) => {
      const share = all > 0 ? 100 * value / all : 0;
      const bar = element("span", { class: "bar" });
      bar.style.width = `${share}%`;
      const name = part[0].toUpperCase() + part.slice(1);
      return [name, element("td", { class: "n" }, seconds(value)), element("td", { class: "n" }, percent(share)),
              element("td", { class: "share", "aria-hidden": "true" }, bar)];
    });
    return table("Where the time went", rows);
  }

  function configured(r) {
    const named = [["datasets", r.dataset], ["backbones", r.backbone], ["pruners", r.pruner]];
    const texts = named.filter(([kind, name]) => entries[kind]?.[name] !== undefined)
      .map(([kind, name]) => `# ${kind}: ${name}\n${entries[kind][name]}`);
    if (entries.training) texts.push(`# training\n${entries.training}`);
    if (!texts.length) return [];
    const box = element("details", {}, element("summary", {}, "Configuration of this run"));
    box.append(element("pre", { tabindex: "0" }, texts.join("\n\n")));
    return [box];
  }

  function others(r) {
    const prefix = r.id.slice(0, r.id.lastIndexOf("/") + 1);
    const same = runs.id.filter(id => id.startsWith(prefix) && id !== r.id);
    const line = element("p", {}, "Other seeds: ");
    for (const id of same) line.append(element("a", { href: address(id) }, id.slice(prefix.length)), " ");
    if (!same.length) line.append("none ");
    line.append("· ", element("a", { href: "#runs" }, "All runs"));
    return line;
  }

  // One row an epoch, of the run and of full training beside it.
  function epochs(at, r) {
    const full = `${r.dataset}/${r.backbone}/full/p0/s${r.seed}`;
    const shown = [[at, "this run"]];
    if (full !== r.id && places.has(full)) shown.push([places.get(full), "full training, same seed"]);
    return shown.flatMap(([place, name]) => (curves.elapsed_seconds[place] ?? []).map((time, epoch) => ({
      run: name, epoch, seconds: time,
      validation_mae: curves.validation_mae[place][epoch], train_loss: curves.train_loss[place][epoch],
    })));
  }

  function show() {
    const found = location.hash.match(/^#run=(.*)$/);
    section.hidden = !found;
    if (!found) return;
    let id = found[1];
    try { id = decodeURIComponent(id); } catch { /* then it names no run */ }
    const at = places.get(id);
    const heading = section.querySelector("h2");
    section.replaceChildren(heading);
    if (at === undefined) {
      heading.textContent = "One run";
      section.append(element("p", { role: "status" }, `There is no run ${id} on this page. `, element("a", { href: "#runs" }, "All runs")));
    } else {
      const r = run(at);
      const at_ratio = r.prune_ratio ? ` at prune ratio ${r.prune_ratio}` : "";
      heading.textContent = `${label(r.pruner)}${at_ratio}, seed ${r.seed}`;
      section.append(
        element("p", { class: "note" }, `${r.place}. ${r.id}`), others(r),
        element("div", { class: "curves" }), element("div", { class: "facts" }, scores(r), ledger(r)), facts(r), ...configured(r));
      const rows = epochs(at, r);
      const box = section.querySelector(".curves");
      if (curves.elapsed_seconds[at] === null) {
        box.append(element("p", { role: "status" }, "The learning curves of this run were left out, or the page would be too heavy; they are in epochs.csv or epochs.parquet."));
      } else {
        window.stpruneCurves = { rows, box };
        dispatchEvent(new Event("stprune-run"));
      }
    }
    section.scrollIntoView();
    heading.focus({ preventScroll: true });
  }

  window.stpruneRuns = { embedded, read, label, address };
  // After the charts' own script, which draws what is shown first.
  addEventListener("DOMContentLoaded", show);
  addEventListener("hashchange", show);
}
