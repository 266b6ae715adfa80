// Drop per class at two operating points, and charts of the rows of one backbone.

/** Two operating points of a backbone side by side, class by class. */
async function startClasses() {
  const rows = rowsOf(read("classes-data"));
  const drawnFirst = read("classes-drawn");
  const form = byId("classes-form");
  const chart = new Chart("classes-chart");
  const { backbone, first, second } = form.elements;
  const points = () => unique(rows.filter((row) => row.backbone === backbone.value).map((row) => row.point));
  const offerPoints = () => {
    for (const select of [first, second]) offer(select, points());
    [first.value, second.value = first.value] = unique([...(drawnFirst[backbone.value] ?? []), ...points()]);
  };
  const redraw = () => {
    const chosen = [["first", first.value], ["second", second.value]];
    const drawn = chosen.flatMap(([series, point]) =>
      rows.filter((row) => row.backbone === backbone.value && row.point === point).map((row) => ({ ...row, series })),
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

/** Rows of one backbone at a time; name is that of the data set, and part of those of the elements. */
async function startRows(name) {
  const rows = rowsOf(read(`${name}-data`));
  const form = byId(`${name}-form`);
  const chart = new Chart(`${name}-chart`);
  const { backbone } = form.elements;
  const redraw = () => chart.show({ [name]: rows.filter((row) => row.backbone === backbone.value) });
  offer(backbone, unique(rows.map((row) => row.backbone)));
  backbone.closest("label").hidden = backbone.options.length < 2;
  form.addEventListener("input", redraw);
  await redraw();
}
