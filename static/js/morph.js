// Brings an element to the state of a fresh copy with as few changes as possible, so that focus, scroll,
// selection and open parts survive. Children are matched by id, else by place. Elements marked
// data-live-keep (charts, logs) are never touched.
(() => {
  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id : "");
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

  function attributes(old, fresh) {
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      // What the reader opened stays open.
      const own = name === "open" && /^(DETAILS|DIALOG)$/.test(old.nodeName);
      if (!fresh.hasAttribute(name) && !own) old.removeAttribute(name);
    }
  }

  function children(old, fresh) {
    const keyed = new Map([...old.children].filter((c) => c.id).map((c) => [c.id, c]));
    let cursor = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const match = keyed.get(keyOf(next)) ?? (cursor && alike(cursor, next) ? cursor : null);
      if (match && alike(match, next)) {
        if (match === cursor) cursor = cursor.nextSibling;
        else old.insertBefore(match, cursor);
        morph(match, next);
      } else {
        old.insertBefore(document.importNode(next, true), cursor);
      }
    }
    while (cursor) {
      const gone = cursor;
      cursor = cursor.nextSibling;
      gone.remove();
    }
  }

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = fresh.nodeValue; return; }
    if ("liveKeep" in (old.dataset ?? {})) return;
    attributes(old, fresh);
    if (old.nodeName !== "TEXTAREA") children(old, fresh);
  }

  window.UI.morph = morph;
})();
