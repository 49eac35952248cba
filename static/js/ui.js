// Shared behaviour: theme, times, copy, toasts, forms, segmented buttons and shortcuts.
// No framework and no eval: the pages run under script-src 'self'. Everything listens on the document,
// so regions that are replaced later need no second set-up. Offers window.UI to the other scripts.
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const strings = JSON.parse($("#ui-strings")?.textContent ?? "{}");
  const lang = document.documentElement.lang || "en";
  const sprite = document.body.dataset.sprite;

  function iconUse(svg, name) {
    $("use", svg).setAttribute("href", `${sprite}#${name}`);
  }

  // Theme
  function toggleTheme() {
    const next = document.documentElement.dataset.bsTheme === "dark" ? "light" : "dark";
    document.documentElement.dataset.bsTheme = next;
    try { localStorage.setItem("theme", next); } catch { /* kept for this page only */ }
    document.dispatchEvent(new CustomEvent("ui:theme"));
  }

  // Times: <time data-ago> stays current, <time data-at> shows the reader's zone.
  const relative = new Intl.RelativeTimeFormat(lang, { numeric: "auto", style: "short" });
  const exact = new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium" });
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  function ago(iso) {
    const seconds = (Date.parse(iso) - Date.now()) / 1000;
    const [unit, size] = units.find(([, s]) => Math.abs(seconds) >= s) ?? units[3];
    return relative.format(Math.round(seconds / size), unit);
  }
  function refreshTimes(root = document) {
    $$("time[data-ago]", root).forEach((node) => {
      const text = ago(node.dateTime);
      if (node.textContent !== text) node.textContent = text;
      node.title = exact.format(Date.parse(node.dateTime));
    });
    $$("time[data-at]", root).forEach((node) => {
      const text = exact.format(Date.parse(node.dateTime));
      if (node.textContent !== text) node.textContent = text;
    });
  }

  // Toasts: polite, dismissible, errors stay until dismissed.
  const tones = { ok: ["tone-green", "circle-check"], error: ["tone-red", "alert-circle"], info: ["tone-blue", "info-circle"], warning: ["tone-amber", "alert-triangle"] };
  function toast(kind, title, text = "") {
    const [tone, icon] = tones[kind];
    const card = $("#toast-template").content.firstElementChild.cloneNode(true);
    card.classList.add(tone);
    iconUse(card, icon);
    $("strong", card).textContent = title;
    $("p", card).textContent = text;
    $("#toasts").append(card);
    if (kind !== "error" && kind !== "warning") setTimeout(() => card.remove(), 6000);
  }
  $$("#toasts .toast-card:not([data-stays])").forEach((card) => setTimeout(() => card.remove(), 8000));

  // Copy: data-copy="text", or data-copy-from="#id" for the text of an element.
  async function copy(button) {
    const text = button.dataset.copy ?? $(button.dataset.copyFrom)?.textContent ?? "";
    try {
      await navigator.clipboard.writeText(text.trim());
      toast("ok", strings.copied);
    } catch {
      toast("error", strings.copyFailed);
    }
  }

  document.addEventListener("click", (event) => {
    const on = (selector) => event.target.closest?.(selector);
    if (on("[data-theme-toggle]")) toggleTheme();
    if (on("[data-help]")) $("#shortcuts")?.showModal();
    if (on(".toast-card .tool")) on(".toast-card").remove();
    const copied = on("[data-copy], [data-copy-from]");
    if (copied) copy(copied);
    const segment = on(".seg button");
    if (segment) {
      const group = segment.closest(".seg");
      $$("button", group).forEach((b) => b.setAttribute("aria-pressed", String(b === segment)));
      group.dispatchEvent(new CustomEvent("ui:pick", { detail: segment.value, bubbles: true }));
    }
    // data-shows="#id": a button that opens a dialog of the page.
    const opener = on("[data-shows]");
    if (opener) {
      const target = $(opener.dataset.shows);
      if (target instanceof HTMLDialogElement) target.showModal();
    }
  });
  document.addEventListener("click", (event) => {
    if (event.target instanceof HTMLDialogElement && event.target.classList.contains("sheet") && event.target.id !== "confirm") event.target.close();
  });

  // data-presses="#id": a choice that presses a button; the button is for pages without scripts.
  // data-examples: the options have data-example, which the next field of the row shows while empty.
  document.addEventListener("change", (event) => {
    const { presses } = event.target.dataset ?? {};
    if (presses) $(presses)?.click();
    if ("examples" in (event.target.dataset ?? {})) {
      const field = event.target.parentElement.querySelector("input");
      if (field) field.placeholder = event.target.selectedOptions[0]?.dataset.example ?? "";
    }
  });
  $$("[data-presses]").forEach((choice) => { const button = $(choice.dataset.presses); if (button) button.hidden = true; });

  // Filters send themselves; empty fields stay out of the address.
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-filter]");
    if (form && event.target.matches("select, input[type=checkbox], input[type=radio]")) form.requestSubmit();
  });
  // data-picks="name": the form fields inside [data-when="name:value"] follow a choice; "name:!value"
  // shows them for any other.
  function followChoice(root = document) {
    $$("[data-when]", root).forEach((part) => {
      const [name, value] = part.dataset.when.split(":");
      const form = part.closest("form");
      const chosen = form && new FormData(form).getAll(name);
      const values = value.replace("!", "").split("|");
      const shown = Boolean(chosen?.some((c) => values.includes(c) !== value.startsWith("!")));
      part.hidden = !shown;
      $$("input, select, textarea", part).forEach((field) => { field.disabled = !shown; });
    });
  }
  document.addEventListener("change", (event) => { if (event.target.form) followChoice(event.target.form); });

  // A form is sent once: its button waits for the next page.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented) return;
    if (form.matches("[data-filter]")) {
      $$("input, select", form).forEach((field) => { if (!field.value) field.disabled = true; });
    }
    if (form.method !== "post" || form.target || "noBusy" in form.dataset || [...form.attributes].some((a) => a.name.startsWith("hx-"))) return;
    // The button's own value must still be sent, so it is switched off only afterwards.
    setTimeout(() => $$("button[type=submit], button:not([type])", form).forEach((b) => { b.disabled = true; b.dataset.busy = ""; }));
  });
  window.addEventListener("pageshow", () => {
    $$("button[data-busy]").forEach((b) => { b.disabled = false; delete b.dataset.busy; });
    $$("form[data-filter] :disabled").forEach((field) => { field.disabled = false; });
  });

  // htmx sends the CSRF token with everything that changes something.
  document.addEventListener("htmx:config:request", (event) => {
    const request = event.detail?.ctx?.request;
    if (request?.headers) request.headers["X-CSRFToken"] = document.body.dataset.csrf;
  });
  document.addEventListener("htmx:after:swap", () => { refreshTimes(); followChoice(); });
  document.addEventListener("htmx:response:error", () => toast("error", strings.unknownError));

  // Shortcuts: never while typing, never with a modifier except Ctrl/Cmd+K.
  let pending = 0;
  const single = {
    "?": () => $("#shortcuts")?.showModal(),
    t: toggleTheme,
    f: () => $("[data-log-follow]")?.click(),
    "/": () => ($("[data-page-search]") ?? $("[data-palette]"))?.focus(),
  };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      document.dispatchEvent(new CustomEvent("ui:palette"));
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    // A field of a dialog that has just closed keeps the focus for a frame, but nobody types there.
    const field = event.target.closest?.("input, textarea, select, [contenteditable], dialog[open]");
    if (field?.checkVisibility()) return;
    const link = pending && Date.now() - pending < 900 && /^[a-z]$/.test(event.key) && $(`[data-go="${event.key}"]`);
    pending = 0;
    if (link) {
      location.href = link.href;
    } else if (event.key === "g") {
      pending = Date.now();
    } else if (single[event.key]) {
      event.preventDefault();
      single[event.key]();
    }
  });

  refreshTimes();
  followChoice();
  setInterval(refreshTimes, 20000, document);

  window.UI = { $, $$, strings, lang, toast, ago, iconUse, refreshTimes, followChoice };
})();
