// Tables: sorted by the buttons in their heads, filtered by the fields above them. A choice of what is shown of several sets.
(() => {
  const value = (row, column) => row.cells[column].dataset.value;

  function compare(a, b, column) {
    const [one, two] = [value(a, column), value(b, column)];
    if (one !== undefined && two !== undefined) return one - two;
    return a.cells[column].textContent.trim().localeCompare(b.cells[column].textContent.trim(), undefined, { numeric: true });
  }

  function sort(table, column) {
    const heads = [...table.tHead.rows[0].cells], head = heads[column], body = table.tBodies[0], rows = [...body.rows];
    const numbers = head.classList.contains("number"), before = head.getAttribute("aria-sort");
    const descending = before === "none" ? numbers : before === "ascending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    rows.sort((a, b) => (descending ? compare(b, a, column) : compare(a, b, column)));
    body.append(...rows);
  }

  for (const table of document.querySelectorAll("table")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(table, column)));
  }

  for (const field of document.querySelectorAll("input[data-filter]")) {
    const place = document.getElementById(field.dataset.filter), items = [...(place.tBodies ? place.tBodies[0].rows : place.children)];
    const told = field.parentElement.querySelector("output");
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      let number = 0;
      for (const item of items) {
        item.hidden = !item.textContent.toLowerCase().includes(wanted);
        number += !item.hidden;
      }
      told.textContent = wanted ? `${number} of ${items.length}` : "";
    });
  }

  const choice = document.getElementById("set-choice");
  if (choice) {
    const show = () => {
      for (const set of document.querySelectorAll("section.set")) set.hidden = set.dataset.set !== choice.value;
    };
    choice.parentElement.hidden = false;
    choice.addEventListener("change", show);
    show();
  }
})();
