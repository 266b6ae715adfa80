// Drop per class at two operating points, and training curves.

/** Two operating points of a backbone side by side, class by class. */
async function startClasses() {
  const rows = rowsOf(read("classes-data"));
  const form = byId("classes-form");
  const chart = new Chart("classes-chart");
  const { backbone, first, second } = form.elements;
  const points = () => unique(rows.filter((row) => row.backbone === backbone.value).map((row) => row.point));
  // Two criteria at the same schedule, where there are two.
  const offerPoints = () => {
    const named = points();
    for (const select of [first, second]) offer(select, named);
    const control = (point) => point.replace("/entropy ", "/random ");
    const informed = named.filter((point) => point.includes("/pause/entropy ")).sort((one) => (one.startsWith("paumer/") ? -1 : 1));
    const start = informed.find((point) => named.includes(control(point))) ?? informed[0] ?? named[0] ?? "";
    const others = named.filter((point) => point !== start);
    const recipe = `${start.split("/")[0]}/pause/random `;
    first.value = start;
    second.value = others.find((point) => point === control(start)) ?? others.find((point) => point.startsWith(recipe)) ?? others[0] ?? start;
  };
  const redraw = () => {
    const chosen = [["first", first.value], ["second", second.value]];
    const drawn = chosen.flatMap(([series, point]) =>
      rows
        .filter((row) => row.backbone === backbone.value && row.point === point)
        .map((row) => ({
          ...row,
          series,
          low: known(row.drop_spread) ? row.drop - row.drop_spread : null,
          high: known(row.drop_spread) ? row.drop + row.drop_spread : null,
          drop_text: withSpread(row.drop, row.drop_spread),
          iou_text: withSpread(row.iou, row.iou_spread),
        })),
    );
    // The order of the first, from what it loses least.
    const order = drawn.filter((row) => row.series === "first").sort((one, two) => one.drop - two.drop).map((row) => row.class);
    drawn.sort((one, two) => order.indexOf(one.class) - order.indexOf(two.class));
    return chart.show({ classes: drawn });
  };
  offer(backbone, unique(rows.map((row) => row.backbone)));
  backbone.closest("label").hidden = backbone.options.length < 2;
  offerPoints();
  form.addEventListener("input", ({ target }) => {
    if (target === backbone) offerPoints();
    redraw();
  });
  await redraw();
}

/** Loss of the runs of one backbone. */
async function startTraining() {
  const rows = rowsOf(read("training-data"));
  const form = byId("training-form");
  const chart = new Chart("training-chart");
  const { backbone } = form.elements;
  const redraw = () => chart.show({ training: rows.filter((row) => row.backbone === backbone.value) });
  offer(backbone, unique(rows.map((row) => row.backbone)));
  backbone.closest("label").hidden = backbone.options.length < 2;
  form.addEventListener("input", redraw);
  await redraw();
}
