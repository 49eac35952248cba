// Ctrl K: pages and commands are in the page, things are fetched from the search endpoint after a short
// pause in typing. The endpoint answers {"results": [{label, sub, href, icon, group}]}.
(() => {
  const { $, $$, strings, iconUse } = window.UI;
  const palette = $("#palette");
  if (!palette) return;
  const input = $("input", palette);
  const list = $("#palette-list");
  const note = $(".palette-note", palette);
  const entries = JSON.parse($("#palette-data").textContent);
  let remote = [];
  let active = 0;
  let timer = 0;
  let asked = null;

  function score(entry, query) {
    const text = `${entry.label} ${entry.sub ?? ""}`.toLowerCase();
    if (text.includes(query)) return text.startsWith(query) ? 3 : 2;
    let at = -1;
    for (const letter of query) {
      at = text.indexOf(letter, at + 1);
      if (at < 0) return 0;
    }
    return 1;
  }

  function found(query) {
    if (!query) return entries;
    const near = entries.map((e) => [e, score(e, query)]).filter(([, s]) => s > 0).sort((a, b) => b[1] - a[1]).map(([e]) => e);
    return [...near.slice(0, 6), ...remote];
  }

  function row(entry, index) {
    const item = document.createElement("li");
    item.id = `palette-${index}`;
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", String(index === active));
    item.dataset.href = entry.href;
    const icon = $("#toast-template").content.querySelector(".i").cloneNode(true);
    iconUse(icon, entry.icon ?? "arrow-right");
    item.append(icon, Object.assign(document.createElement("span"), { textContent: entry.label }), Object.assign(document.createElement("span"), { className: "sub", textContent: entry.sub ?? "" }));
    return item;
  }

  function heading(text) {
    const item = Object.assign(document.createElement("li"), { className: "group", textContent: text });
    item.setAttribute("role", "presentation");
    return item;
  }

  function draw() {
    const all = found(input.value.trim().toLowerCase());
    active = Math.min(active, Math.max(0, all.length - 1));
    let group = "";
    list.replaceChildren(...all.flatMap((entry, index) => {
      const head = entry.group && entry.group !== group ? [heading(entry.group)] : [];
      group = entry.group ?? group;
      return [...head, row(entry, index)];
    }));
    if (!all.length && !asked) list.append(heading(strings.nothingFound));
    input.setAttribute("aria-activedescendant", all.length ? `palette-${active}` : "");
  }

  async function search(query) {
    asked?.abort();
    asked = new AbortController();
    const mine = asked;
    note.textContent = strings.searching;
    try {
      const response = await fetch(`${palette.dataset.search}?q=${encodeURIComponent(query)}`, { signal: mine.signal, headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(String(response.status));
      // Only addresses of this console are followed.
      remote = (await response.json()).results.filter((r) => typeof r.href === "string" && /^\/(?!\/)/.test(r.href));
      note.textContent = "";
    } catch (error) {
      if (error.name === "AbortError") return;
      remote = [];
      note.textContent = strings.searchFailed;
    }
    if (mine === asked) asked = null;
    draw();
  }

  function open() {
    active = 0;
    remote = [];
    note.textContent = "";
    input.value = "";
    draw();
    if (!palette.open) palette.showModal();
    input.focus();
  }

  document.addEventListener("ui:palette", open);
  document.addEventListener("click", (event) => { if (event.target.closest("[data-palette]")) open(); });
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[role=option]");
    if (item) location.href = item.dataset.href;
  });
  input.addEventListener("input", () => {
    active = 0;
    clearTimeout(timer);
    const query = input.value.trim();
    if (palette.dataset.search && query.length >= 2) {
      timer = setTimeout(search, 150, query);
    } else {
      asked?.abort();
      asked = null;
      remote = [];
      note.textContent = "";
    }
    draw();
  });
  input.addEventListener("keydown", (event) => {
    const rows = $$("[role=option]", list);
    if (event.isComposing) return;
    if ((event.key === "ArrowDown" || event.key === "ArrowUp") && rows.length) {
      event.preventDefault();
      active = (active + (event.key === "ArrowDown" ? 1 : rows.length - 1)) % rows.length;
      draw();
      $(`#palette-${active}`)?.scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (rows[active]) location.href = rows[active].dataset.href;
    }
  });
})();
