// Search in the whole log, on the server: hits with their numbers, page by page, with how far it came.
// The pane itself (logview.js) marks what is loaded. Enter goes from hit to hit in both.
(() => {
  const { $, $$, strings, lang } = window.UI;
  const PAGE = 100;
  const MOST = 500;
  const count = new Intl.NumberFormat(lang);
  const percent = new Intl.NumberFormat(lang, { style: "percent", maximumFractionDigits: 0 });

  class LogSearch {
    constructor(root) {
      this.root = root;
      this.url = root.dataset.logSearch;
      this.input = $("[data-page-search]", root);
      this.level = $("[data-log-level]", root);
      this.panel = $(".log-results", root);
      this.status = $(".log-results-status", root);
      this.list = $(".log-results-list", root);
      this.more = $(".log-results-more", root);
      let typing = 0;
      this.input.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => this.start(), 350); });
      this.input.addEventListener("keydown", (e) => {
        if (e.key === "Escape") { clearTimeout(typing); this.stop(); }
      });
      this.level.addEventListener("change", () => { if (!this.panel.hidden) this.start(); });
      ["regex", "case"].forEach((name) => {
        $(`[data-log-${name}]`, root).addEventListener("click", (e) => {
          e.currentTarget.setAttribute("aria-pressed", String(!this.pressed(name)));
          this.root.logView?.search(this.input.value, false);
          this.start();
        });
      });
      this.more.addEventListener("click", () => this.run(this.next, MOST));
      $(".log-results-close", root).addEventListener("click", () => { this.stop(); this.input.focus(); });
    }

    pressed(name) { return $(`[data-log-${name}]`, this.root).getAttribute("aria-pressed") === "true"; }

    stop() {
      this.request?.abort();
      this.panel.hidden = true;
      this.say("");
      this.list.replaceChildren();
    }

    start() {
      this.stop();
      if (this.input.value.length < 2) return;
      this.found = 0;
      this.panel.hidden = false;
      this.run(0, MOST);
    }

    // One search at a time: a newer one ends the one before.
    async run(after, most) {
      this.request?.abort();
      const mine = new AbortController();
      this.request = mine;
      this.more.hidden = true;
      const until = this.found + most;
      const words = new URLSearchParams({ q: this.input.value, level: this.level.value, limit: PAGE });
      ["regex", "case"].forEach((name) => { if (this.pressed(name)) words.set(name, "1"); });
      try {
        for (this.next = after; this.next !== null && this.found < until;) {
          words.set("after", this.next);
          const response = await fetch(`${this.url}?${words}`, { headers: { Accept: "application/json" }, credentials: "same-origin", signal: mine.signal });
          const data = await response.json();
          if (!response.ok) { this.say(data.error ?? strings.unknownError, true); return; }
          this.show(data);
        }
        this.more.hidden = this.next === null;
      } catch (error) {
        if (!mine.signal.aborted) this.say(strings.logSearchFailed, true);
      }
    }

    show(data) {
      this.list.append(...data.hits.map((hit) => this.item(hit)));
      this.found += data.hits.length;
      this.next = data.next;
      const all = data.last_seq - data.first_seq + 1;
      const share = data.next === null || all < 1 ? 1 : (data.scanned - data.first_seq + 1) / all;
      const whole = this.found ? (this.found === 1 ? strings.logHit : strings.logHits) : strings.logNoHit;
      const said = data.next === null ? whole : strings.logHitsSoFar;
      this.say(said.replace("%(count)s", count.format(this.found)).replace("%(share)s", percent.format(share)));
    }

    say(text, bad = false) {
      this.status.textContent = text;
      this.status.classList.toggle("is-bad", bad);
      this.input.setAttribute("aria-invalid", String(bad));
    }

    item([seq, , , stream, level, text]) {
      const link = Object.assign(document.createElement("a"), { href: `#L${seq}`, className: `log-hit lv-${/^(debug|info|mark|warning|error)$/.test(level) ? level : "info"}${stream === "gap" ? " is-gap" : ""}` });
      // The same line again is a way back to it.
      link.addEventListener("click", () => { if (location.hash === link.hash) this.root.logView.showHash(); });
      const number = Object.assign(document.createElement("b"), { textContent: count.format(seq) });
      const words = Object.assign(document.createElement("span"), { textContent: window.LogText.plain(text).replace(/\u001b\[[0-9;]*m?/g, "") });
      link.append(number, words);
      const row = document.createElement("li");
      row.append(link);
      return row;
    }
  }

  $$("[data-log-search]").forEach((root) => { root.logSearch = new LogSearch(root); });
})();
