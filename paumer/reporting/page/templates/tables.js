// Long tables: filter their rows by words, sort them by a column.

/** Numbers by their size, texts by the alphabet, empty cells last. */
function compareCells(one, two) {
  if (!one || !two) return (one ? 0 : 1) - (two ? 0 : 1);
  const [first, second] = [parseFloat(one), parseFloat(two)];
  return Number.isNaN(first) || Number.isNaN(second) ? one.localeCompare(two) : first - second;
}

function sortBy(table, heading) {
  const column = [...heading.parentNode.children].indexOf(heading);
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const text = (row) => row.children[column].textContent.trim();
  const rows = [...table.tBodies[0].rows].sort((one, two) => {
    const order = compareCells(text(one), text(two));
    return text(one) && text(two) && down ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

function startTables() {
  for (const tools of document.querySelectorAll(".table-tools")) {
    const table = byId(tools.dataset.table);
    const counter = tools.querySelector("output");
    tools.hidden = false;
    tools.querySelector("input").addEventListener("input", ({ target }) => {
      const words = target.value.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      counter.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    });
    for (const heading of table.tHead.rows[0].children) {
      const button = element("button", { type: "button" }, heading.textContent);
      button.addEventListener("click", () => sortBy(table, heading));
      heading.replaceChildren(button);
    }
  }
}
