"use strict";
// A click on a heading sorts its table by that column, a second click the other way round. Cells without a value stay
// at the end.
for (const button of document.querySelectorAll("th > button")) {
  button.addEventListener("click", () => {
    const heading = button.parentElement;
    const table = heading.closest("table");
    const column = heading.cellIndex;
    const isText = heading.classList.contains("text");
    const first = isText ? "ascending" : "descending";
    const now = heading.getAttribute("aria-sort");
    const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
    const sign = order === "ascending" ? 1 : -1;
    const valueOf = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = isText
      ? (a, b) => a.localeCompare(b, undefined, { numeric: true })
      : (a, b) => Number(a) - Number(b);
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row), row]);
    rows.sort(([a], [b]) => (a === "" || b === "" ? (a === "") - (b === "") : sign * compare(a, b)));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    table.tBodies[0].append(...rows.map(([, row]) => row));
  });
}
