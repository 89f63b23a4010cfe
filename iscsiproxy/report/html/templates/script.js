"use strict";
(() => {
  const all = (what, where) => Array.from((where || document).querySelectorAll(what));
  document.documentElement.classList.add("scripted");

  // What a link leads to is opened, wherever it is.
  const reveal = () => {
    const id = decodeURIComponent(location.hash.slice(1));
    const there = id && document.getElementById(id);
    if (!there) return;
    const run = there.closest(".run");
    const box = run && document.getElementById("show-" + run.dataset.v);
    if (box) box.checked = true;
    if (run && run.hidden) { find.value = ""; filter(); }
    for (let one = there; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    const own = there.querySelector(":scope > details");
    if (own && there.classList.contains("row")) own.open = true;
    there.scrollIntoView({ block: there.classList.contains("run") ? "start" : "center" });
  };

  // The filter: every word has to be somewhere in the row.
  const find = document.getElementById("find");
  const shown = document.getElementById("shown");
  const table = document.querySelector("table.runs tbody");
  const none = document.querySelector(".none");
  const rows = all("tr", table).map((row) => ({ row, text: row.textContent.toLowerCase(), run: document.getElementById("run-" + row.dataset.o) }));
  const filter = () => {
    const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { row, text, run } of rows) {
      const box = document.getElementById("show-" + row.dataset.v);
      const fits = words.every((word) => text.includes(word));
      row.hidden = !fits;
      if (run) run.hidden = !fits;
      if (fits && box.checked) count += 1;
    }
    shown.textContent = count === rows.length ? "" : count + " of " + rows.length;
    none.hidden = count > 0;
  };
  find.addEventListener("input", filter);
  all(".counts input").forEach((box) => box.addEventListener("change", filter));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) { event.preventDefault(); find.focus(); }
    if (event.key === "Escape" && event.target === find) { find.value = ""; filter(); }
  });

  // Columns that sort.
  const keys = {
    verdict: (row) => Number(row.dataset.o),
    name: (row) => row.querySelector("a").textContent,
    time: (row) => -Number(row.dataset.t),
  };
  all("th[data-sort]").forEach((head) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      all("th[data-sort]").forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = keys[head.dataset.sort];
      const order = (a, b) => { const x = key(a.row), y = key(b.row); return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1); };
      table.append(...rows.slice().sort(order).map((one) => one.row));
    });
  });

  // Buttons.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.open) all(button.dataset.open).forEach((one) => { one.open = true; });
    if (button.dataset.close) all(button.dataset.close).forEach((one) => { one.open = false; });
    if (button.classList.contains("copy")) {
      const code = button.parentElement.querySelector("code");
      const done = () => { button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 1500); };
      const select = () => { const range = document.createRange(); range.selectNodeContents(code); const chosen = getSelection(); chosen.removeAllRanges(); chosen.addRange(range); };
      if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, select);
      else select();
    }
  });

  // On paper the runs that did not pass are whole: what proves something is open.
  addEventListener("beforeprint", () => all(".run[open] .proven > details, .run[open] .hit > details").forEach((one) => { one.open = true; }));
  addEventListener("hashchange", reveal);
  reveal();
})();
