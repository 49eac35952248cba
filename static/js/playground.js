// Playground: one prompt to each pane, answers streamed in OpenAI's event format.
// <form id="composer" data-chat-url="…"> posts JSON {deployment, messages, stream, …parameters} once per
// [data-pane]. A pane has [data-model] (a select, its value is sent as deployment), .thread, and figures
// [data-ttft] [data-speed] [data-cost] [data-total]. Parameters are fields marked data-parameter="name".
(() => {
  const { $, $$, strings, lang, toast } = window.UI;
  const form = $("#composer");
  if (!form) return;
  const prompt = $("textarea", form);
  const one = new Intl.NumberFormat(lang, { maximumFractionDigits: 1, minimumFractionDigits: 1 });
  const running = new Map();
  const talks = new WeakMap();
  const talk = (pane) => talks.get(pane) ?? talks.set(pane, []).get(pane);
  const put = (pane, name, text) => { const node = $(`[data-${name}]`, pane); if (node) node.textContent = text; };

  function message(pane, who, text, user) {
    const node = Object.assign(document.createElement("div"), { className: user ? "msg from-user" : "msg" });
    const head = Object.assign(document.createElement("div"), { className: "msg-who", textContent: who });
    const body = Object.assign(document.createElement("div"), { className: "msg-body", textContent: text });
    const tools = Object.assign(document.createElement("div"), { className: "msg-tools" });
    node.append(head, body, tools);
    $(".thread", pane).append(node);
    return node;
  }

  function parameters() {
    const found = {};
    $$("[data-parameter]").forEach((field) => {
      const raw = field.type === "checkbox" ? field.checked : field.value.trim();
      if (raw === "" || field.disabled) return;
      const name = field.dataset.parameter;
      if (name === "stop") found.stop = raw.split("\n").filter(Boolean);
      else found[name] = typeof raw === "boolean" || Number.isNaN(Number(raw)) ? raw : Number(raw);
    });
    return found;
  }

  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const parts = rest.split(/\r?\n\r?\n/);
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split(/\r?\n/).filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trimStart()).join("\n");
        if (data === "[DONE]") { yield null; return; }
        if (data) yield JSON.parse(data);
      }
    }
  }

  async function failure(response) {
    try {
      const data = await response.json();
      return data.error?.message ?? data.detail ?? data.title ?? data.message ?? strings.unknownError;
    } catch {
      return strings.unknownError;
    }
  }

  function figures(pane, started, first, tokens, usage) {
    const passed = (performance.now() - started) / 1000;
    const count = usage?.completion_tokens ?? tokens;
    if (first) {
      put(pane, "ttft", `${Math.round(first * 1000)} ms`);
      if (count > 1 && passed > first) put(pane, "speed", one.format((count - 1) / (passed - first)));
    }
    put(pane, "cost", usage ? `${usage.prompt_tokens} + ${usage.completion_tokens}` : `… + ${count}`);
    put(pane, "total", `${passed.toFixed(2)} s`);
  }

  async function answer(pane) {
    const picked = $("[data-model]", pane);
    const node = message(pane, picked.selectedOptions?.[0]?.textContent.trim() ?? strings.assistant, "", false);
    const body = $(".msg-body", node);
    const thread = $(".thread", pane);
    const abort = new AbortController();
    const started = performance.now();
    let first = 0;
    let tokens = 0;
    let usage = null;
    let whole = false;
    let text = "";
    running.set(pane, abort);
    body.classList.add("caret");
    buttons();
    const system = $("[data-system]")?.value.trim();
    const messages = [...(system ? [{ role: "system", content: system }] : []), ...talk(pane)];
    try {
      const response = await fetch(form.dataset.chatUrl, {
        method: "POST", signal: abort.signal, credentials: "same-origin",
        headers: { "Content-Type": "application/json", "X-CSRFToken": document.body.dataset.csrf },
        body: JSON.stringify({ deployment: picked.value, messages, stream: true, ...parameters() }),
      });
      if (!response.ok) throw new Error(await failure(response));
      const id = response.headers.get("x-request-id");
      if (id) $(".msg-tools", node).append(Object.assign(document.createElement("span"), { className: "t-xs faint mono ms-auto", textContent: id }));
      for await (const event of events(response)) {
        if (event === null) { whole = true; break; }
        if (event.error) throw new Error(event.error.message);
        usage = event.usage ?? usage;
        const delta = event.choices?.[0]?.delta?.content ?? event.choices?.[0]?.text ?? "";
        if (delta) {
          first ||= (performance.now() - started) / 1000;
          tokens += 1;
          text += delta;
          const low = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 40;
          body.textContent = text;
          if (low) thread.scrollTop = thread.scrollHeight;
        }
        figures(pane, started, first, tokens, usage);
      }
      if (!whole) throw new Error(strings.connectionLost);
    } catch (error) {
      const stopped = error.name === "AbortError";
      const note = Object.assign(document.createElement("p"), { className: stopped ? "faint t-sm" : "field-error", textContent: stopped ? strings.stopped : error.message });
      body.after(note);
    }
    body.classList.remove("caret");
    running.delete(pane);
    figures(pane, started, first, tokens, usage);
    if (text) talk(pane).push({ role: "assistant", content: text });
    else talk(pane).pop();
    buttons();
  }

  function buttons() {
    $$("[data-stop]").forEach((b) => { b.hidden = !running.size; });
    $$("button[type=submit]", form).forEach((b) => { b.disabled = running.size > 0; });
  }

  function send() {
    const text = prompt.value.trim();
    if (!text || running.size) return;
    const panes = $$("[data-pane]").filter((pane) => $("[data-model]", pane)?.value);
    if (!panes.length) { toast("error", strings.nothingFound); return; }
    prompt.value = "";
    panes.forEach((pane) => {
      message(pane, strings.you, text, true);
      talk(pane).push({ role: "user", content: text });
      $(".thread", pane).scrollTop = $(".thread", pane).scrollHeight;
      answer(pane);
    });
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) { event.preventDefault(); send(); }
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-stop]")) running.forEach((abort) => abort.abort());
    if (event.target.closest("[data-clear]")) {
      running.forEach((abort) => abort.abort());
      $$("[data-pane]").forEach((pane) => { talks.delete(pane); $(".thread", pane).replaceChildren(); });
      prompt.focus();
    }
  });
  document.addEventListener("input", (event) => {
    const output = event.target.matches("input[type=range]") && $(`output[for="${event.target.id}"]`);
    if (output) output.textContent = event.target.value;
  });
  buttons();
})();
