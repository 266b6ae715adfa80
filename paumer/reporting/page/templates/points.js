// Operating points: which are on the front, and which is best within a budget.
const AXES = {
  images_per_s: { sign: 1, timed: true, of: (dense, times) => dense * times },
  latency_ms: { sign: -1, timed: true, of: (dense, times) => dense / times },
  speedup: { sign: 1, timed: true, of: (dense, times) => times },
  gmac: { sign: -1, timed: false },
};
const BUDGETS = {
  drop: { field: "drop", most: true, unit: " points", says: "a drop of at most", wants: "speedup", sign: 1, usual: 0.65 },
  speedup: { field: "speedup", most: false, unit: "x", says: "a speed-up of at least", wants: "drop", sign: -1, usual: 1.5 },
  latency: { field: "latency_ms", most: true, unit: " ms a batch", says: "a latency of at most", wants: "drop", sign: -1 },
  gmac: { field: "gmac", most: true, unit: " GMAC", says: "a cost of at most", wants: "drop", sign: -1 },
};

/** Mark rows that another one of those shown beats: as good in both, better in one. What knows the truth beats nothing. */
function markDominated(rows, gain) {
  const order = rows.filter((row) => !row.oracle).sort((one, two) => gain(two) - gain(one) || two.miou - one.miou);
  for (const row of rows) row.dominated = true;
  let above = -Infinity;
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && gain(order[end]) === gain(order[start])) end += 1;
    const best = order[start].miou;
    for (const row of order.slice(start, end)) row.dominated = above >= row.miou || best > row.miou;
    above = Math.max(above, best);
  }
}

const UNTIMED = { speedup_text: "not timed", rate_text: "not timed", latency_text: "not timed", floor_text: "not measured" };

/** Operating points of a backbone beside their timings in a setting; without one where it was not timed. */
function joined(explorer, setting) {
  const backbone = explorer.settings[setting].backbone;
  const timings = new Map(explorer.timings.filter((row) => row.setting === setting).map((row) => [row.point, row]));
  return explorer.points
    .map((point, at) => ({ ...UNTIMED, ...timings.get(at), ...point, at, batch: explorer.settings[setting].batch }))
    .filter((row) => row.backbone === backbone);
}

/** Rows as the explorer draws them along an axis. */
function placed(rows, axis) {
  const best = AXES[axis].timed ? "best_of_method_timed" : "best_of_method_gmac";
  const drawn = rows.filter((row) => known(row[axis])).map((row) => ({
    ...row,
    x: row[axis],
    x_low: row[`${axis}_low`] ?? null,
    x_high: row[`${axis}_high`] ?? null,
    best_of_method: row[best],
  }));
  markDominated(drawn, (row) => AXES[axis].sign * row.x);
  for (const row of drawn) {
    const place = row.dominated ? "another point is better" : "on the Pareto front";
    row.pale = row.dominated && !row.oracle;
    row.remark = row.oracle ? "chooses by the ground truth: a bound, no competitor" : place;
  }
  return drawn;
}

/** Rows within a budget, the best first. */
function within(rows, budget, limit) {
  const { field, most, wants, sign } = BUDGETS[budget];
  const fits = rows.filter((row) => known(row[field]) && known(row[wants]) && (most ? row[field] <= limit : row[field] >= limit));
  return fits.sort((one, two) => sign * (two[wants] - one[wants]) || two.miou - one.miou);
}
