// An answer token by token: how likely each was, by colour and underline, and what else was likely.
// One place in the tab order; the arrow keys move from token to token.
window.PlaygroundTokens = (() => {
  const { $, lang } = window.UI;
  const percent = new Intl.NumberFormat(lang, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
  // Below each bound a token looks less certain; the last one holds for all others.
  const LEVELS = [[0.9, "tok-0"], [0.6, "tok-1"], [0.3, "tok-2"], [0.1, "tok-3"], [0, "tok-4"]];
  const scores = new WeakMap();

  const likely = (logprob) => percent.format(Math.exp(logprob));

  // A token as people can tell it from others: spaces and ends of lines are seen.
  function named(bytes, strings) {
    const text = new TextDecoder().decode(Uint8Array.from(bytes));
    if (text.includes("\ufffd")) return `${strings.partOfCharacter} (${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" ")})`;
    return text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "∅";
  }

  function spoken(text, strings) {
    return text === " " ? strings.space : text === "\n" ? strings.newLine : text;
  }

  function element(tag, className, text = "") {
    return Object.assign(document.createElement(tag), { className, textContent: text });
  }

  function show(card, score, strings) {
    const head = element("p", "tok-head");
    head.append(element("span", "mono tok-name", named(score.bytes, strings)), element("strong", "num", likely(score.logprob)));
    const others = score.top.filter((one) => String(one.bytes) !== String(score.bytes));
    const list = element("ul", "tok-others");
    others.forEach((one) => {
      const row = element("li", "");
      row.append(element("span", "mono tok-name", named(one.bytes, strings)), element("span", "num", likely(one.logprob)));
      list.append(row);
    });
    card.replaceChildren(head, element("p", "t-xs faint", others.length ? strings.others : strings.noOthers), list);
    card.hidden = false;
  }

  function listen(target, card, strings) {
    const at = (event) => event.target.closest?.(".tok");
    ["focusin", "mouseover"].forEach((name) => target.addEventListener(name, (event) => {
      const token = at(event);
      if (token) show(card, scores.get(token), strings);
    }));
    target.addEventListener("click", (event) => at(event)?.focus());
    target.addEventListener("keydown", (event) => {
      const token = at(event);
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
      if (!token || !step) return;
      event.preventDefault();
      const all = [...target.querySelectorAll(".tok:not(:empty)")];
      const next = all[Math.max(0, Math.min(all.length - 1, all.indexOf(token) + step))];
      token.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }

  // `target` becomes the answer, `card` says more of the token under focus or pointer.
  function view(target, card, strings) {
    const decoder = new TextDecoder();
    let count = 0;
    target.setAttribute("role", "group");
    target.setAttribute("aria-label", strings.tokens);
    listen(target, card, strings);

    function nodes(list) {
      const made = document.createDocumentFragment();
      list.forEach((score) => {
        const text = decoder.decode(Uint8Array.from(score.bytes), { stream: true });
        const chance = Math.exp(score.logprob);
        const node = element("span", `tok ${LEVELS.find(([bound]) => chance >= bound)[1]}`, text);
        if (text) {
          node.setAttribute("role", "button");
          node.tabIndex = count ? -1 : 0;
          node.setAttribute("aria-label", strings.token.replace("%(token)s", spoken(text, strings)).replace("%(percent)s", likely(score.logprob)));
          count += 1;
        }
        scores.set(node, score);
        made.append(node);
      });
      return made;
    }

    // Tokens of a stop word or of the end are no part of the answer; text without a score is.
    function finish(text) {
      let place = 0;
      let over = false;
      [...target.querySelectorAll(".tok")].forEach((node) => {
        const own = node.textContent;
        if (!over && text.startsWith(own, place)) { place += own.length; return; }
        const rest = over ? "" : text.slice(place);
        if (rest && own.startsWith(rest)) { node.textContent = rest; place = text.length; } else node.remove();
        over = true;
      });
      if (place < text.length) target.append(text.slice(place));
      if (!$(".tok[tabindex='0']", target)) $(".tok:not(:empty)", target)?.setAttribute("tabindex", "0");
    }

    return { nodes, finish, get count() { return count; } };
  }

  return { view };
})();
