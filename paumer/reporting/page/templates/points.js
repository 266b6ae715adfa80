// Operating points: which are on the front, and which is best within a budget.
const AXES = {
  images_per_s: { title: "images/s", text: "images/s", sign: 1, timed: true, of: (dense, times) => dense * times },
  latency_ms: { title: "latency of one batch (ms)", text: "latency", sign: -1, timed: true, of: (dense, times) => dense / times },
  speedup: { title: "speed-up over dense", text: "speed-up", sign: 1, timed: true, of: (dense, times) => times },
  gmac: { title: "GMAC per image", text: "GMAC", sign: -1, timed: false },
};
const BUDGETS = {
  drop: { field: "drop", most: true, unit: " points", says: "a drop of at most", wants: "speedup", sign: 1, usual: 0.65 },
  speedup: { field: "speedup", most: false, unit: "x", says: "a speed-up of at least", wants: "drop", sign: -1, usual: 1.5 },
  latency: { field: "latency_ms", most: true, unit: " ms a batch", says: "a latency of at most", wants: "drop", sign: -1 },
  gmac: { field: "gmac", most: true, unit: " GMAC", says: "a cost of at most", wants: "drop", sign: -1 },
};

/** Mark rows that another one beats: at least as good in both, better in one. What knows the truth beats nothing. */
function markDominated(rows, gain, flag, competes = () => true) {
  const order = rows.filter(competes).sort((one, two) => gain(two) - gain(one) || two.miou - one.miou);
  for (const row of rows) row[flag] = true;
  let above = -Infinity;
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && gain(order[end]) === gain(order[start])) end += 1;
    const best = order[start].miou;
    for (const row of order.slice(start, end)) row[flag] = above >= row.miou || best > row.miou;
    above = Math.max(above, best);
  }
}

/** Operating points of a backbone beside their timings in a setting; without one where it was not timed. */
function joined(explorer, setting) {
  const backbone = explorer.settings[setting].backbone;
  const timings = new Map(explorer.timings.filter((row) => row.setting === setting).map((row) => [row.point, row]));
  return explorer.points
    .map((point, at) => ({ ...timings.get(at), ...point, at, batch: explorer.settings[setting].batch }))
    .filter((row) => row.backbone === backbone);
}

/** Finished texts of a row, for tooltips and details. */
function described(row) {
  const timed = known(row.images_per_s);
  return {
    miou_text: withSpread(row.miou, row.miou_spread),
    drop_text: withSpread(row.drop, row.drop_spread),
    speedup_text: timed ? withInterval(row.speedup, row.speedup_low, row.speedup_high) : "not timed",
    rate_text: timed ? withRange(row.images_per_s, row.images_per_s_low, row.images_per_s_high) : "not timed",
    latency_text: timed ? withRange(row.latency_ms, row.latency_ms_low, row.latency_ms_high) : "not timed",
    gmac_text: withRange(row.gmac, row.gmac_low, row.gmac_high),
    floor_text: known(row.floor_ratio) ? fixed(row.floor_ratio) : "not measured",
    remark: row.oracle ? "chooses by the ground truth: a bound, no competitor" : "",
  };
}

/** Rows as the explorer draws them along an axis. */
function placed(rows, axis) {
  const shown = rows.filter((row) => known(row[axis]));
  const drawn = shown.map((row) => ({
    ...row,
    ...described(row),
    hollow: row.oracle,
    x: row[axis],
    x_low: row[`${axis}_low`] ?? null,
    x_high: row[`${axis}_high`] ?? null,
    y: row.miou,
    y_low: known(row.miou_spread) ? row.miou - row.miou_spread : null,
    y_high: known(row.miou_spread) ? row.miou + row.miou_spread : null,
  }));
  const gain = (row) => AXES[axis].sign * row.x;
  markDominated(drawn, gain, "dominated", (row) => !row.oracle);
  for (const method of unique(drawn.map((row) => row.method))) {
    markDominated(drawn.filter((row) => row.method === method), gain, "worse_of_method");
  }
  for (const row of drawn) row.remark ||= row.dominated ? "another point is better" : "on the Pareto front";
  return drawn;
}

/** Rows within a budget, the best first. */
function within(rows, budget, limit) {
  const { field, most, wants, sign } = BUDGETS[budget];
  const fits = rows.filter((row) => known(row[field]) && known(row[wants]) && (most ? row[field] <= limit : row[field] >= limit));
  return fits.sort((one, two) => sign * (two[wants] - one[wants]) || two.miou - one.miou);
}
