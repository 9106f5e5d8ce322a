const results = document.querySelector("#results"), filter = document.querySelector("#filter");
const shown = (cell) => cell.dataset.sort ?? cell.textContent;
results?.querySelectorAll("th button").forEach((button) => button.addEventListener("click", () => {
  const head = button.parentElement, body = results.tBodies[0], column = head.cellIndex;
  const down = head.getAttribute("aria-sort") === "ascending";
  const words = new Intl.Collator(undefined, {numeric: true});
  const lines = [...body.rows].map((row) => [shown(row.cells[column]), row]);
  const numbers = lines.every(([value]) => !isNaN(value));
  lines.sort(([x], [y]) => {
    if (x === "" || y === "") return (x === "") - (y === "");  // what is unknown stays last
    const order = numbers ? x - y : words.compare(x, y);
    return down ? -order : order;
  });
  results.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...lines.map(([, row]) => row));
}));
filter?.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/), rows = [...results.tBodies[0].rows];
  rows.forEach((row) => { const text = row.textContent.toLowerCase(); row.hidden = !words.every((word) => text.includes(word)); });
  document.querySelector("#found").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
});
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
