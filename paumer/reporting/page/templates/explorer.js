// The explorer: one setting of one backbone, an axis, the methods ticked, and a budget.
const explorer = read("explorer-data");
explorer.points = rowsOf(explorer.points);
explorer.timings = rowsOf(explorer.timings);
const form = byId("explorer-form");
const FIELDS = ["backbone", "device", "dtype", "mode", "scope", "input", "batch"];
const paretoChart = new Chart("pareto-chart");
const methodsChart = new Chart("methods-chart");
let shownRows = [];
let focused = null;

/** The setting that agrees with the controls; where none does, the one that keeps the last choice and most others. */
function chosenSetting(last) {
  const agrees = (setting) => FIELDS.map((name) => String(setting[name]) === form.elements[name].value);
  const weight = (setting) => agrees(setting).reduce((sum, same, at) => sum + same * (FIELDS[at] === last ? 100 : 1), 0);
  const weights = explorer.settings.map(weight);
  return weights.indexOf(Math.max(...weights));
}

/** Offer what was measured, and show the setting; a field without a choice is hidden. */
function offerSettings(setting) {
  const now = explorer.settings[setting];
  for (const name of FIELDS) {
    const sameBackbone = (row) => name === "backbone" || row.backbone === now.backbone;
    const values = unique(explorer.settings.filter(sameBackbone).map((row) => row[name]));
    offer(form.elements[name], values);
    form.elements[name].value = now[name];
    form.elements[name].closest("label").hidden = values.length < 2;
  }
}

/** The first setting, at the largest batch at which its dense network fits into memory, as in the headline. */
function usualSetting() {
  const { batch: _, ...usual } = explorer.settings[0];
  const alike = (setting) => Object.entries(usual).every(([name, value]) => setting[name] === value);
  const fits = (setting) => joined(explorer, setting).some((row) => row.method === explorer.dense && known(row.images_per_s));
  const candidates = explorer.settings.map((_, at) => at).filter((at) => alike(explorer.settings[at]) && fits(at));
  return candidates.reduce((one, two) => (explorer.settings[two].batch > explorer.settings[one].batch ? two : one), candidates[0] ?? 0);
}

const ticked = () => new Set([...form.querySelectorAll("[name=method]:checked")].map((box) => box.value));

/** Ends and step of the slider that fit the rows, and its usual value. */
function offerBudget(rows) {
  const budget = form.elements.budget.value;
  const { field, usual, most } = BUDGETS[budget];
  const values = rows.map((row) => row[field]).filter(known);
  const low = budget === "drop" ? 0 : budget === "speedup" ? 1 : Math.min(...values);
  const high = Math.max(...values, low);
  const step = [0.05, 0.1, 0.5, 1, 5, 10, 50, 100].find((size) => (high - low) / size <= 600) ?? 1000;
  const slider = form.elements.limit;
  slider.step = step;
  slider.min = Math.floor(low / step) * step;
  slider.max = Math.ceil(high / step) * step;
  const dense = rows.find((row) => row.method === explorer.dense)?.[field];
  slider.value = usual ?? (most && known(dense) ? dense / 1.5 : low);
}

/** Where the published claim would lie, counted from the dense network: of the abstract, on other data. */
function claimMark(dense, axis, middle) {
  const { drop, speedup, dataset } = explorer.claim;
  const label = `claim of the abstract (${dataset}: other data and network)`;
  if (!AXES[axis].timed || !form.elements.claim.checked) return [];
  const x = AXES[axis].of(dense.x, speedup);
  const remark =
    `${speedup} times the images/s at a drop of ${drop} points: a claim of the abstract for ${dataset}, ` +
    "another network and device, counted from this dense network. Nothing that was measured here.";
  return [{ kind: "claim", x, miou: dense.miou - drop, label, align: x > middle ? "right" : "left", remark }];
}

/** Lines through the dense network, and of the budget where an axis shows it. */
function ruleMarks(dense, axis, budget, limit, range) {
  const rules = dense ? [{ x: dense.x, dash: "dense" }, { miou: dense.miou, dash: "dense" }] : [];
  if (budget === "drop" && dense && limit <= range) return [...rules, { miou: dense.miou - limit, dash: "budget" }];
  if (BUDGETS[budget].field === axis) return [...rules, { x: limit, dash: "budget" }];
  if (budget === "speedup" && dense && AXES[axis].timed) {
    return [...rules, { x: AXES[axis].of(dense.x, limit), dash: "budget" }];
  }
  return rules;
}

/** Draw everything that depends on the controls. */
async function redraw() {
  const axis = form.elements.axis.value;
  const budget = form.elements.budget.value;
  const limit = Number(form.elements.limit.value);
  const setting = chosenSetting();
  const rows = joined(explorer, setting);
  const methods = ticked();
  const drawn = placed(rows.filter((row) => methods.has(row.method)), axis);
  const dense = placed(rows.filter((row) => row.method === explorer.dense), axis)[0];
  const range = Number(form.elements.range.value);
  const near = (row) => !dense || row.miou >= dense.miou - range;
  const others = drawn.filter((row) => near(row) && row.method !== explorer.dense);
  const places = drawn.filter(near).map((row) => row.x);
  const middle = (Math.min(...places) + Math.max(...places)) / 2;
  const best = within(drawn.filter((row) => !row.oracle), budget, limit);
  const marks = dense && methods.has(explorer.dense) ? [{ ...dense, kind: "dense" }] : [];
  if (dense) marks.push(...claimMark(dense, axis, middle));
  if (best.length && near(best[0])) {
    const [first] = best;
    const label = first.method === explorer.dense ? "dense" : `${first.method} ${first.schedule}`;
    marks.push({ kind: "chosen", x: first.x, miou: first.miou, label, align: first.x > middle ? "right" : "left" });
  }
  shownRows = drawn.filter(near).sort((one, two) => one.x - two.x);
  const focus = shownRows.find((row) => row.at === focused);
  if (focus) marks.push({ kind: "focus", x: focus.x, miou: focus.miou });
  byId("limit-value").textContent = `${Number(limit.toFixed(2))}${BUDGETS[budget].unit}`;
  byId("budget-verdict").replaceChildren(...verdict(best, budget, limit));
  describeSetting(setting, drawn.filter(near));
  const curves = others.filter((row) => row.best_of_method);
  const front = shownRows.filter((row) => !row.dominated);
  const datasets = { points: others, lines: curves, front, rules: ruleMarks(dense, axis, budget, limit, range), marks };
  await Promise.all([
    paretoChart.show(datasets, `${explorer.axes[axis]}${AXES[axis].timed ? `, batch ${rows[0]?.batch}` : ""}`),
    methodsChart.show({ best: bestOfMethods(rows, methods, budget, limit) }, BUDGETS[budget].wants === "drop" ? "drop (mIoU points)" : explorer.axes.speedup),
  ]);
}

/** The best operating point in a sentence, and how many others are as good as far as the intervals tell. */
function verdict(best, budget, limit) {
  const { says, unit } = BUDGETS[budget];
  const asked = `${says} ${Number(limit.toFixed(2))}${unit}`;
  if (!best.length) return [`No operating point shown here has ${asked}.`];
  const [first] = best;
  const name = element("strong", {}, `${first.method} with ${first.schedule}`);
  const costs = known(first.images_per_s) ? `, ${first.rate_text.split(" ")[0]} images/s` : "";
  const seeds = `${first.seeds} ${first.seeds === 1 ? "seed" : "seeds"}`;
  const text =
    `: speed-up ${first.speedup_text}, drop ${first.drop_text} points, mIoU ${first.miou_text}${costs}, ` +
    `${first.gmac_text} GMAC (${seeds}).`;
  const alike = best.filter((row) => budget === "drop" && row.speedup_high >= first.speedup_low).length - 1;
  const also = alike > 0 ? ` ${alike} more within the budget ${alike === 1 ? "is" : "are"} as fast as far as the intervals tell.` : "";
  return [`Best with ${asked}: `, name, text, also];
}

/** What the chart shows, in a line. */
function describeSetting(setting, drawn) {
  const { device, dtype, mode, scope, input, batch } = explorer.settings[setting];
  const front = drawn.filter((row) => !row.dominated).length;
  byId("explorer-count").textContent =
    `${drawn.length} operating points shown, ${front} of them on the Pareto front. Timed on ${device}: ${dtype}, ` +
    `${mode}, ${scope}, ${input} pixels, batch ${batch}.`;
}

/** The best operating point of every method, the best method first and those without any last. */
function bestOfMethods(rows, methods, budget, limit) {
  const { wants } = BUDGETS[budget];
  const found = unique(rows.map((row) => row.method)).filter((name) => methods.has(name) && name !== explorer.dense);
  const firsts = found.map((method) => within(rows.filter((row) => row.method === method), budget, limit)[0] ?? { method });
  const drawn = firsts.map((row) =>
    known(row.at)
      ? { ...row, value: row[wants], value_low: row[`${wants}_low`], value_high: row[`${wants}_high`] }
      : { method: row.method, none: true, schedule: "none within the budget" },
  );
  const values = drawn.filter((row) => !row.none).map((row) => row.value);
  const middle = (Math.min(...values) + Math.max(...values)) / 2;
  const place = (row) => (row.none ? Infinity : -BUDGETS[budget].sign * row.value);
  return drawn.map((row) => ({ ...row, middle })).sort((one, two) => (place(one) === place(two) ? 0 : place(one) - place(two)));
}

/** Say all about one operating point beside the chart. */
function showDetails(row) {
  focused = row.at;
  const { method, schedule, remark, ...texts } = explorer.texts;
  const items = Object.entries(texts).map(([name, title]) =>
    element("div", {}, element("dt", {}, title), element("dd", {}, String(row[name]))),
  );
  const heading = element("p", {}, element("strong", {}, `${row.method} `), element("code", {}, row.schedule), `: ${row.remark}`);
  byId("point-details").replaceChildren(heading, element("dl", {}, ...items));
}

/** Arrow keys go from point to point, from left to right. */
function stepThrough(event) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
  if (!(event.key in steps) || !shownRows.length) return;
  event.preventDefault();
  const now = shownRows.findIndex((row) => row.at === focused);
  const next = now < 0 && Number.isFinite(steps[event.key]) ? 0 : now + steps[event.key];
  showDetails(shownRows[Math.min(shownRows.length - 1, Math.max(0, next))]);
  redraw();
}

/** Wire the controls and draw for the first time. */
async function startExplorer() {
  const first = usualSetting();
  offerSettings(first);
  offerBudget(joined(explorer, first));
  paretoChart.clicked = (datum) => {
    if (known(datum.at)) {
      showDetails(datum);
      redraw();
    }
  };
  byId("pareto-chart").addEventListener("keydown", stepThrough);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    if (FIELDS.includes(target.name)) offerSettings(chosenSetting(target.name));
    if ([...FIELDS, "budget"].includes(target.name)) {
      const before = form.elements.limit.value;
      offerBudget(joined(explorer, chosenSetting()));
      if (target.name !== "budget" && ["drop", "speedup"].includes(form.elements.budget.value)) form.elements.limit.value = before;
    }
    redraw();
  });
  for (const [id, value] of [["all-methods", true], ["no-methods", false]]) {
    byId(id).addEventListener("click", () => {
      for (const box of form.querySelectorAll("[name=method]")) box.checked = value;
      redraw();
    });
  }
  await redraw();
}
