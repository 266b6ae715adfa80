// The viewer of pause maps: canvases over one image under one schedule.
const IGNORED = 255;
// Entropy 1; what is larger says that a patch had paused before.
const STEPS = 250;

/** A picture as a decoded image. */
async function picture(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}

function canvasOf(width, height) {
  const canvas = element("canvas", { width, height });
  return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
}

/** Class ids from a grey picture. */
async function classIds(uri, { width, height }) {
  const [, context] = canvasOf(width, height);
  context.drawImage(await picture(uri), 0, 0);
  return context.getImageData(0, 0, width, height).data.filter((_, at) => at % 4 === 0);
}

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const rgb = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

class Viewer {
  constructor() {
    this.maps = read("maps-data");
    this.form = byId("maps-form");
    this.panels = byId("maps-panels");
    this.palette = this.maps.colours.map(rgb);
    this.patch = null;
    this.decoded = new Map();
    this.turn = 0;
  }

  get sample() {
    return this.maps.samples[Number(this.form.elements.sample.value)];
  }

  get schedule() {
    return this.maps.schedules[Number(this.form.elements.schedule.value)];
  }

  get run() {
    return this.sample.runs[Number(this.form.elements.schedule.value)];
  }

  ids(uri) {
    if (!this.decoded.has(uri)) this.decoded.set(uri, classIds(uri, this.sample));
    return this.decoded.get(uri);
  }

  async start() {
    offer(this.form.elements.sample, this.maps.samples.map((_, at) => at), this.maps.samples.map((sample) => sample.name));
    const slider = this.form.elements.schedule;
    slider.max = this.maps.schedules.length - 1;
    slider.value = Math.ceil((this.maps.schedules.length - 1) / 2);
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.draw());
    this.panels.addEventListener("keydown", (event) => this.move(event));
    await this.draw();
  }

  /** Draw all panels; a slider that moved on meanwhile wins. */
  async draw() {
    const turn = (this.turn += 1);
    const { sample, schedule, run } = this;
    const [image, truth, prediction, dense] = await Promise.all([
      picture(sample.image), this.ids(sample.truth), this.ids(run.prediction), this.ids(sample.runs[0].prediction),
    ]);
    if (turn !== this.turn) return;
    const blocks = Object.keys(run.entropy);
    const paused = schedule.blocks.length ? `paused under ${schedule.text}` : "dense: nothing pauses";
    const panels = [
      this.panel("image", (context) => context.drawImage(image, 0, 0)),
      this.panel(paused, (context) => this.paintPaused(context, image)),
      this.panel("prediction", (context) => this.paintClasses(context, prediction)),
      this.panel("errors", (context) => this.paintErrors(context, prediction, truth)),
      this.panel("ground truth", (context) => this.paintClasses(context, truth)),
      ...blocks.map((block) => this.panel(`entropy after block ${block}`, (context) => this.paintEntropy(context, bytes(run.entropy[block])))),
    ];
    this.panels.replaceChildren(...panels);
    const share = schedule.blocks.length ? `${schedule.text} (${fixed(100 * schedule.paused, 0)}% pause)` : "dense: nothing pauses";
    byId("schedule-value").textContent = share;
    this.form.elements.schedule.setAttribute("aria-valuetext", share);
    const right = (ids) => fixed(100 * accuracy(ids, truth), 1);
    byId("maps-verdict").textContent =
      `In this image ${right(prediction)}% of the labelled pixels are right; ${right(dense)}% where nothing pauses.`;
    this.drawLegend(truth, prediction);
    this.describePatch();
  }

  panel(title, paint) {
    const { width, height } = this.sample;
    const [canvas, context] = canvasOf(width, height);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", title);
    paint(context);
    const point = ({ offsetX, offsetY }) => {
      const side = (this.sample.patch * canvas.clientWidth) / width;
      this.look([Math.floor(offsetY / side), Math.floor(offsetX / side)]);
    };
    canvas.addEventListener("pointermove", point);
    const frame = element("div", { class: "frame" }, canvas, element("span", { class: "patch", hidden: "" }));
    return element("figure", {}, frame, element("figcaption", {}, title));
  }

  paintClasses(context, ids) {
    const { width, height } = this.sample;
    const picture = context.createImageData(width, height);
    ids.forEach((id, at) => picture.data.set([...(this.palette[id] ?? [0, 0, 0]), 255], 4 * at));
    context.putImageData(picture, 0, 0);
  }

  /** Wrong pixels dark red, right ones light grey, ignored ones white. */
  paintErrors(context, prediction, truth) {
    const { width, height } = this.sample;
    const picture = context.createImageData(width, height);
    truth.forEach((id, at) => {
      const colour = id === IGNORED ? [255, 255, 255] : id === prediction[at] ? [214, 217, 221] : [165, 0, 38];
      picture.data.set([...colour, 255], 4 * at);
    });
    context.putImageData(picture, 0, 0);
  }

  /** Call paint(value, left, top, width, height) for every patch of a grid, in whole pixels without gaps. */
  eachPatch(values, paint) {
    const { grid: [, columns], patch } = this.sample;
    const edge = (place) => Math.round(place * patch);
    values.forEach((value, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      paint(value, edge(column), edge(row), edge(column + 1) - edge(column), edge(row + 1) - edge(row));
    });
  }

  paintPaused(context, image) {
    context.filter = "grayscale(1)";
    context.drawImage(image, 0, 0);
    context.filter = "none";
    context.globalAlpha = 0.65;
    this.eachPatch(bytes(this.run.paused_at), (location, ...place) => {
      if (!location) return;
      context.fillStyle = this.maps.locations[location - 1];
      context.fillRect(...place);
    });
    context.globalAlpha = 1;
  }

  paintEntropy(context, values) {
    const { shades } = this.maps;
    context.fillStyle = "white";
    context.fillRect(0, 0, this.sample.width, this.sample.height);
    this.eachPatch(values, (value, ...place) => {
      if (value > STEPS) return;
      context.fillStyle = shades[Math.round((value / STEPS) * (shades.length - 1))];
      context.fillRect(...place);
    });
  }

  drawLegend(truth, prediction) {
    const swatch = (colour, text) => element("li", {}, element("span", { class: "swatch", style: `background:${colour}` }), text);
    const places = this.schedule.blocks.map((block, at) => swatch(this.maps.locations[at], `paused after block ${block}`));
    const seen = new Set([...truth, ...prediction]);
    const classes = this.maps.classes.flatMap((name, id) => (seen.has(id) ? [swatch(this.maps.colours[id], name)] : []));
    const scale = element("li", {}, "entropy: certain ", element("span", { class: "scale", style: `background:linear-gradient(90deg,${this.maps.shades.join(",")})` }), " uncertain; white: paused before");
    byId("maps-legend").replaceChildren(...places, swatch("#a50026", "wrong"), scale);
    byId("maps-classes").replaceChildren(...classes);
  }

  look(patch) {
    const [rows, columns] = this.sample.grid;
    const bounded = [Math.min(rows - 1, Math.max(0, patch[0])), Math.min(columns - 1, Math.max(0, patch[1]))];
    if (this.patch && bounded[0] === this.patch[0] && bounded[1] === this.patch[1]) return;
    this.patch = bounded;
    this.describePatch();
  }

  /** Arrow keys go from patch to patch. */
  move(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const [row, column] = this.patch ?? [0, -1];
    this.look([row + steps[event.key][0], column + steps[event.key][1]]);
  }

  /** Outline the patch in every panel, and say what happened to it. */
  async describePatch() {
    if (!this.patch) return;
    const { sample, schedule, run } = this;
    const { grid: [rows, columns], width, height, patch } = sample;
    const row = Math.min(this.patch[0], rows - 1);
    const column = Math.min(this.patch[1], columns - 1);
    for (const mark of this.panels.querySelectorAll(".patch")) {
      mark.hidden = false;
      mark.style.cssText =
        `left:${(100 * column * patch) / width}%;top:${(100 * row * patch) / height}%;` +
        `width:${(100 * patch) / width}%;height:${(100 * patch) / height}%`;
    }
    const at = row * columns + column;
    const location = bytes(run.paused_at)[at];
    const entropies = Object.entries(run.entropy).map(([block, grid]) => [block, bytes(grid)[at]]);
    const said = entropies.filter(([, value]) => value <= STEPS).map(([block, value]) => `${fixed(value / STEPS)} after block ${block}`);
    const [truth, prediction] = await Promise.all([this.ids(sample.truth), this.ids(run.prediction)]);
    const pixel = Math.min(height - 1, Math.floor((row + 0.5) * patch)) * width + Math.min(width - 1, Math.floor((column + 0.5) * patch));
    const name = (id) => this.maps.classes[id] ?? "ignored";
    byId("patch-details").textContent =
      `Patch in row ${row + 1}, column ${column + 1}: ${location ? `paused after block ${schedule.blocks[location - 1]}` : "never paused"}; ` +
      `entropy ${said.join(", ")}. Its middle is ${name(truth[pixel])}, predicted ${name(prediction[pixel])}.`;
  }
}

/** Share of the labelled pixels that are right. */
function accuracy(prediction, truth) {
  let right = 0;
  let labelled = 0;
  truth.forEach((id, at) => {
    labelled += id !== IGNORED;
    right += id !== IGNORED && id === prediction[at];
  });
  return right / labelled;
}
