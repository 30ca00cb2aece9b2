"use strict";
// The page is whole without this: here are sorting, filtering, and the opening of what a link points into.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  const show = () => {
    const at = location.hash && document.getElementById(location.hash.slice(1));
    if (!at) return;
    at.hidden = false;
    for (let each = at; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    at.scrollIntoView({ behavior: "instant" });
  };
  addEventListener("hashchange", show);
  show();

  const value = (row, column) => {
    const cell = row.cells[column];
    const text = "v" in cell.dataset ? cell.dataset.v : cell.textContent.trim();
    const number = text === "" ? NaN : Number(text.replace(/[,%×+<]| (ms|s|pp)\b.*/g, ""));
    return { text, number };
  };
  const compare = (one, other) =>
    Number.isNaN(one.number) || Number.isNaN(other.number)
      ? Number.isNaN(one.number) - Number.isNaN(other.number) || one.text.localeCompare(other.text)
      : one.number - other.number;
  const sort = (table, column, head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    all("th[aria-sort]", table).forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    rows.sort((one, other) => (down ? -1 : 1) * compare(value(one, column), value(other, column)));
    table.tBodies[0].append(...rows);
  };
  all("table.sortable").forEach((table) =>
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, column, head));
    })
  );

  const form = document.getElementById("filters");
  if (!form) return;
  const failures = all(".failure");
  const count = document.getElementById("counted");
  const filter = () => {
    const { state, variant, text } = Object.fromEntries(new FormData(form));
    const wanted = text.trim().toLowerCase();
    failures.forEach((each) => {
      each.hidden =
        (state && each.dataset.state !== state) ||
        (variant && each.dataset.variant !== variant) ||
        (wanted && !each.textContent.toLowerCase().includes(wanted));
    });
    count.textContent = `${failures.filter((each) => !each.hidden).length} of ${failures.length} shown`;
  };
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("open-all").addEventListener("click", () => {
    const closed = failures.filter((each) => !each.hidden && !each.open);
    const open = closed.length > 0;
    failures.forEach((each) => { if (!each.hidden) each.open = open; });
  });
  filter();
})();
