// Sorting: a click on a column's name, or Enter or Space on it, sorts; again turns the order round.

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", onclick: () => sort(column) }, ...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
  });

  function sort(column) {
    const numbers = heads[column].classList.contains("number");
    const before = heads[column].getAttribute("aria-sort");
    // Of numbers the largest are looked for first.
    const order = before === "none" ? (numbers ? "descending" : "ascending") : (before === "ascending" ? "descending" : "ascending");
    for (const head of heads) head.setAttribute("aria-sort", "none");
    heads[column].setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const key = row => {
      const cell = row.cells[column];
      if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
      return numbers ? null : cell.textContent.trim();
    };
    const keyed = [...body.rows].map(row => [key(row), row]);
    keyed.sort(([a], [b]) => {
      // What is empty comes last, whichever way it is sorted.
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
    });
    body.append(...keyed.map(([, row]) => row));
  }
}
