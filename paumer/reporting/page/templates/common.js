// Reading what the page carries, and drawing charts.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const byId = (id) => document.getElementById(id);
const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);
const fixed = (value, digits = 2) => (known(value) ? value.toFixed(digits) : "");

/** Rows from columns. */
function rowsOf(columns) {
  const names = Object.keys(columns);
  return columns[names[0]].map((_, row) => Object.fromEntries(names.map((name) => [name, columns[name][row]])));
}

const unique = (values) => [...new Set(values)];

/** An element with attributes and children. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Make a select offer these values, keeping its choice where it can. */
function offer(select, values, texts = values) {
  const before = select.value;
  select.replaceChildren(...values.map((value, at) => element("option", { value }, String(texts[at]))));
  if (values.map(String).includes(before)) select.value = before;
}

/** A chart whose data can change: redrawn where the axis title does, updated otherwise. */
class Chart {
  constructor(id) {
    this.place = byId(id);
    this.spec = read(`${id}-spec`);
    this.title = null;
    this.work = Promise.resolve();
    document.charts = [...(document.charts ?? []), this];
  }

  /** Show data sets (name: rows) with a title below the horizontal axis; calls follow one another. */
  show(datasets, title = null) {
    this.work = this.work.then(() => this.#show(datasets, title)).catch((error) => console.error(error));
    return this.work;
  }

  async #show(datasets, title) {
    if (this.view && title === this.title) {
      for (const [name, rows] of Object.entries(datasets)) this.view.data(name, rows);
      await this.view.runAsync();
      return;
    }
    this.view?.finalize();
    this.title = title;
    const spec = structuredClone(this.spec);
    for (const data of spec.data) if (datasets[data.name]) data.values = datasets[data.name];
    for (const axis of spec.axes) if (title !== null && axis.orient === "bottom" && axis.title) axis.title = title;
    const actions = { export: true, source: false, compiled: false, editor: false };
    // Errors alone are logged: warnings only say that a data set is empty.
    const options = { mode: "vega", renderer: "svg", ast: true, actions, logLevel: 1 };
    const embedded = await vegaEmbed(this.place, spec, options);
    this.view = embedded.view;
    this.place.view = this.view; // for whoever wants its data, as do the tests
    if (this.clicked) this.view.addEventListener("click", (_, item) => item?.datum && this.clicked(item.datum));
  }
}
