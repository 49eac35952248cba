// The playground: panes, settings and the address. Answers come by window.PlaygroundStream.
(() => {
  const { $, $$, iconUse, lang, toast } = window.UI;
  const strings = { ...window.UI.strings, ...JSON.parse($("#playground-strings").textContent) };
  const choices = new Map(JSON.parse($("#playground-choices").textContent).map((choice) => [choice.name, choice]));
  const form = $("#playground");
  const prompt = $("#prompt");
  const one = new Intl.NumberFormat(lang, { maximumFractionDigits: 1 });
  const two = new Intl.NumberFormat(lang, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  const whole = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
  const panes = $$("[data-pane]", form).map((root) => ({ root, key: root.dataset.pane, history: [], last: null, abort: null }));
  // Other likely tokens that are shown beside each one.
  const ALTERNATIVES = 5;
  let task = "chat";
  let taskChosen = false;

  const visible = () => panes.filter((pane) => !pane.root.hidden);
  const picked = (pane) => choices.get($("[data-pick]", pane.root).value);
  const running = () => panes.some((pane) => pane.abort);

  // ---- what is sent

  // Fields of the settings hold those of one answer or of both; the other's are kept here.
  const fields = ["#system", "#p-temperature", "#p-max", "#p-top", "#p-seed", "#p-stop"].map((id) => $(id));
  const kept = { a: null, b: null };
  let editing = "both";
  const read = () => fields.map((field) => field.value);
  const valuesOf = (pane) => (editing === "both" || editing === pane.key ? read() : kept[pane.key]);

  function write(values) {
    fields.forEach((field, place) => {
      field.value = values[place];
      const output = $(`output[for=${field.id}]`);
      if (output) output.value = field.value;
    });
  }

  function edit(next) {
    if (editing === "both") kept.a = kept.b = read(); else kept[editing] = read();
    if (next !== "both") write(kept[next]);
    editing = next;
    $$("[data-settings-of] button").forEach((node) => node.setAttribute("aria-pressed", String(node.value === next)));
  }

  function settings(pane) {
    const [, temperature, most, top, seed, stop] = valuesOf(pane);
    const stops = stop.split("\n").filter(Boolean);
    return {
      temperature: Number(temperature),
      top_p: Number(top),
      max_tokens: Number(most),
      ...(seed.trim() && { seed: Number(seed.trim()) }),
      ...(stops.length && { stop: stops }),
    };
  }

  function request(pane, text) {
    const choice = picked(pane);
    const common = { model: choice?.name ?? "team/name" };
    const end = { ...settings(pane), stream: true, stream_options: { include_usage: true } };
    const scored = $("#p-logprobs").checked;
    if (task === "text") return ["/v1/completions", { ...common, prompt: text, ...end, ...(scored && { logprobs: ALTERNATIVES }) }];
    const system = valuesOf(pane)[0].trim();
    const messages = [
      ...(system ? [{ role: "system", content: system }] : []),
      ...pane.history,
      { role: "user", content: text },
    ];
    return ["/v1/chat/completions", { ...common, messages, ...end, ...(scored && { logprobs: true, top_logprobs: ALTERNATIVES }) }];
  }

  // ---- what is shown

  function element(tag, className, text = "") {
    return Object.assign(document.createElement(tag), { className, textContent: text });
  }

  function icon(name) {
    const svg = $("[data-code] svg", document).cloneNode(true);
    iconUse(svg, name);
    return svg;
  }

  function button(name, label, action) {
    const node = element("button", "btn btn-sm btn-ghost");
    node.type = "button";
    node.append(icon(name), label);
    node.addEventListener("click", action);
    return node;
  }

  function message(pane, who, symbol, fromUser) {
    const node = element("div", fromUser ? "msg from-user" : "msg");
    const head = element("div", "msg-who");
    head.append(icon(symbol), who);
    const body = element("div", "msg-body");
    node.append(head, body);
    $(".thread", pane.root).append(node);
    return { node, head, body };
  }

  function figure(pane, name, text) {
    $(`[data-${name}]`, pane.root).textContent = text;
  }

  function showTimes(pane, run) {
    const now = performance.now();
    if (run.first) figure(pane, "ttft", strings.ms.replace("%s", whole.format(run.first - run.started)));
    const tokens = run.usage?.completion_tokens ?? run.pieces;
    // The first token is the end of reading the prompt; speed is that of writing.
    const seconds = ((run.last ?? now) - run.first) / 1000;
    if (run.first && tokens > 1 && seconds > 0) figure(pane, "speed", one.format((tokens - 1) / seconds));
    if (run.usage) figure(pane, "cost", `${whole.format(run.usage.prompt_tokens)} + ${whole.format(tokens)}`);
    figure(pane, "total", strings.s.replace("%s", two.format((now - run.started) / 1000)));
  }

  // Text is gathered and shown once a frame: a fast model writes more often than a screen draws.
  function writer(pane, target) {
    let waiting = [];
    let frame = 0;
    const thread = $(".thread", pane.root);
    function flush() {
      cancelAnimationFrame(frame);
      frame = 0;
      const follows = thread.scrollHeight - thread.scrollTop - thread.clientHeight < 80;
      target.append(...waiting);
      waiting = [];
      if (follows) thread.scrollTop = thread.scrollHeight;
    }
    return {
      add(piece) {
        waiting.push(piece);
        frame ||= requestAnimationFrame(flush);
      },
      flush,
    };
  }

  function note(body, tone, title, text) {
    const box = element("div", `note ${tone}`);
    const inner = element("div", "");
    inner.append(element("h2", "", title), element("p", "", text));
    box.append(icon("alert-circle"), inner);
    body.after(box);
  }

  function tools(pane, shown, run, text, before) {
    const bar = element("div", "msg-tools");
    bar.append(
      button("copy", strings.copy, async () => {
        try { await navigator.clipboard.writeText(run.text); toast("ok", strings.copied); } catch { toast("error", strings.copyFailed); }
      }),
      button("refresh", strings.again, () => { if (!pane.abort) answer(pane, text, before); }),
    );
    if (run.id) {
      const label = element("span", "t-xs faint ms-auto mono", strings.request.replace("%s", run.id));
      bar.append(label);
      window.PlaygroundStream.servedBy(run.id).then((found) => { if (found) link(label, found); }).catch(() => {});
    }
    shown.node.append(bar);
  }

  // Leads to the request's own page, and says who answered.
  function link(label, found) {
    const node = Object.assign(element("a", label.className, label.textContent), { href: found.href });
    label.replaceWith(node);
    if (found.revision === null) return;
    const text = found.replica === null ? strings.servedByCache : strings.servedBy;
    node.after(element("span", "chip", text.replace("%(deployment)s", found.deployment).replace("%(revision)s", found.revision).replace("%(replica)s", found.replica)));
  }

  function badges(shown, headers) {
    const degraded = headers.get("x-degraded");
    if (headers.get("x-cache") === "hit") shown.head.append(element("span", "chip tone-blue", strings.fromCache));
    if (degraded) shown.head.append(element("span", "chip tone-amber", strings.degraded.replace("%s", degraded)));
  }

  // ---- one answer

  // `from` is the conversation to go on from when the same is asked again.
  async function answer(pane, text, from = null) {
    const choice = picked(pane);
    if (!choice) return;
    if (from) pane.history = [...from];
    const before = [...pane.history];
    pane.last = { text, before };
    const [path, body] = request(pane, text);
    if (!from) message(pane, strings.you, "user", true).body.textContent = text;
    const shown = message(pane, choice.version, "robot", false);
    const live = element("span", "state tone-blue state-live", strings.streaming);
    const stop = button("player-stop", strings.stop, () => pane.abort?.abort());
    shown.head.append(live, stop);
    shown.body.classList.add("caret");
    const run = { started: performance.now(), first: 0, last: null, pieces: 0, usage: null, text: "", id: "", finish: "" };
    for (const name of ["ttft", "speed", "cost", "total"]) figure(pane, name, "–");
    $("[data-token]", pane.root).hidden = true;
    pane.abort = new AbortController();
    refresh();
    const out = writer(pane, shown.body);
    let tokens = body.logprobs ? window.PlaygroundTokens.view(shown.body, $("[data-token]", pane.root), strings) : null;
    const clock = setInterval(showTimes, 200, pane, run);
    let problem = null;
    try {
      await window.PlaygroundStream.ask(path, body, pane.abort.signal, {
        start: (id, headers) => { run.id = id; badges(shown, headers); },
        scores: (scores) => { if (tokens) out.add(tokens.nodes(scores)); },
        text: (piece) => {
          run.first ||= performance.now();
          run.last = performance.now();
          run.pieces += 1;
          run.text += piece;
          // An engine that gives no scores still gives its text.
          if (tokens && !tokens.count) tokens = null;
          if (!tokens) out.add(piece);
        },
        usage: (usage) => { run.usage = usage; },
        finish: (reason) => { run.finish = reason; },
      });
    } catch (error) {
      problem = error;
    }
    clearInterval(clock);
    out.flush();
    tokens?.finish(run.text);
    showTimes(pane, run);
    finish(pane, shown, run, problem);
    live.remove();
    stop.remove();
    shown.body.classList.remove("caret");
    pane.abort = null;
    const said = run.text && (!problem || problem.name === "AbortError");
    if (task === "chat" && said) pane.history.push({ role: "user", content: text }, { role: "assistant", content: run.text });
    tools(pane, shown, run, text, before);
    refresh();
    const thread = $(".thread", pane.root);
    thread.scrollTop = thread.scrollHeight;
  }

  function finish(pane, shown, run, problem) {
    if (problem?.name === "AbortError") {
      shown.head.append(element("span", "state tone-neutral", strings.stopped));
    } else if (problem) {
      const offline = problem instanceof TypeError;
      const text = offline ? strings.unreachable : problem.code === "signed_out" ? strings.signedOut : problem.message;
      const title = run.text ? strings.brokeOff : strings.failed;
      note(shown.body, "tone-red", problem.code ? `${title} · ${problem.code}` : title, text);
    } else if (run.finish === "length") {
      shown.head.append(element("span", "state tone-amber", strings.lengthReached));
    } else if (!run.text) {
      shown.body.append(element("span", "faint", strings.empty));
    }
  }

  function send() {
    const text = task === "text" ? prompt.value : prompt.value.trim();
    if (!text) { prompt.focus(); return; }
    if (running()) { toast("info", strings.busy); return; }
    const asked = visible().filter(picked);
    const wrong = asked.find((pane) => !/^(-?\d{1,15})?$/.test(valuesOf(pane)[4].trim()));
    if (wrong) {
      if (editing !== "both") edit(wrong.key);
      toast("error", strings.badSeed);
      $("#p-seed").focus();
      return;
    }
    if (!asked.length) { toast("error", strings.pickFirst); $("[data-pick]", panes[0].root).focus(); return; }
    if (task === "chat") prompt.value = "";
    asked.forEach((pane) => answer(pane, text));
  }

  // ---- the page's state

  function refresh() {
    $("[data-stop-all]").hidden = !running();
    $("button[type=submit]", form).disabled = running();
    $("[data-instructions]").hidden = task === "text";
    $("[data-settings-of]").hidden = $("[data-code-of]").hidden = panes[1].root.hidden;
    panes.forEach((pane) => {
      const choice = picked(pane);
      const version = $("[data-version]", pane.root);
      version.hidden = !choice;
      version.textContent = choice?.version ?? "";
      $("[data-not-ready]", pane.root).hidden = !choice || choice.ready > 0;
      $("[data-pick]", pane.root).disabled = Boolean(pane.abort);
    });
  }

  function remember() {
    const address = new URL(location.href);
    panes.forEach((pane) => {
      const name = pane.root.hidden ? "" : $("[data-pick]", pane.root).value;
      if (name) address.searchParams.set(pane.key, name); else address.searchParams.delete(pane.key);
    });
    history.replaceState(null, "", address);
  }

  function follow() {
    const choice = picked(panes[0]);
    if (!taskChosen && choice) setTask(choice.chat ? "chat" : "text");
    fit();
    refresh();
  }

  // The longest answer leaves room for the prompt in the smallest context that is asked.
  function fit() {
    const slider = $("#p-max");
    const context = Math.min(...visible().map((pane) => picked(pane)?.context || Infinity));
    const most = Number.isFinite(context) ? Math.max(16, Math.floor((context * 7) / 8 / 16) * 16) : 4096;
    const old = Number(slider.value);
    slider.max = most;
    slider.value = old > most ? Math.max(16, Math.floor(most / 2 / 16) * 16) : old;
    $("output[for=p-max]").value = slider.value;
  }

  function setTask(value) {
    if (value === task) return;
    task = value;
    $$("[data-task] button").forEach((node) => node.setAttribute("aria-pressed", String(node.value === value)));
    panes.forEach((pane) => { pane.history = []; });
  }

  form.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) { event.preventDefault(); send(); }
  });
  $("[data-task]").addEventListener("ui:pick", (event) => { taskChosen = true; setTask(event.detail); refresh(); });
  $("[data-layout]").addEventListener("ui:pick", (event) => {
    const pair = event.detail === "2";
    const second = panes[1];
    second.root.hidden = !pair;
    $(".panes", form).classList.toggle("is-single", !pair);
    if (!pair) {
      second.abort?.abort();
      if (editing !== "both") { edit("a"); edit("both"); }
    }
    const pick = $("[data-pick]", second.root);
    if (pair && !pick.value) pick.value = [...choices.keys()].find((name) => name !== picked(panes[0])?.name) ?? picked(panes[0])?.name ?? "";
    fit();
    refresh();
    remember();
  });
  panes.forEach((pane) => $("[data-pick]", pane.root).addEventListener("change", () => {
    pane.history = [];
    pane.last = null;
    $(".thread", pane.root).replaceChildren();
    $("[data-token]", pane.root).hidden = true;
    follow();
    remember();
  }));
  $("[data-stop-all]").addEventListener("click", () => panes.forEach((pane) => pane.abort?.abort()));
  $("[data-clear]").addEventListener("click", () => {
    panes.forEach((pane) => {
      pane.abort?.abort();
      pane.history = [];
      pane.last = null;
      $(".thread", pane.root).replaceChildren();
      $("[data-token]", pane.root).hidden = true;
      for (const name of ["ttft", "speed", "cost", "total"]) figure(pane, name, "–");
    });
    prompt.focus();
  });
  function showCode(key) {
    const pane = panes.find((one) => one.key === key);
    // What is typed, else what was asked last.
    const asked = prompt.value.trim();
    const last = asked ? null : pane.last;
    const [path, body] = request(last ? { ...pane, history: last.before } : pane, asked || last?.text || "…");
    window.PlaygroundCode.show(form.dataset.baseUrl, path, body);
    $$("[data-code-of] button").forEach((node) => node.setAttribute("aria-pressed", String(node.value === key)));
  }
  $("[data-code]").addEventListener("click", () => {
    showCode("a");
    $("#playground-code").showModal();
  });
  $("[data-code-of]").addEventListener("ui:pick", (event) => showCode(event.detail));
  $("[data-settings-of]").addEventListener("ui:pick", (event) => edit(event.detail));
  $$(".range-row input", form).forEach((input) => {
    input.addEventListener("input", () => { $(`output[for=${input.id}]`).value = input.value; });
  });
  window.addEventListener("pagehide", () => panes.forEach((pane) => pane.abort?.abort()));

  follow();
})();
