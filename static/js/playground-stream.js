// The playground's line to the gateway: a short-lived token kept in memory, and the stream of one answer.
window.PlaygroundStream = (() => {
  const { $ } = window.UI;
  let token = null;
  let asking = null;

  async function fetchToken() {
    const response = await fetch($("#playground").dataset.tokenUrl, {
      method: "POST",
      headers: { "X-CSRFToken": document.body.dataset.csrf },
      credentials: "same-origin",
      redirect: "manual",
    });
    if (!response.ok) throw Object.assign(new Error("signed out"), { code: "signed_out" });
    const answer = await response.json();
    token = { text: answer.token, until: Date.now() + (answer.expires_in_s - 60) * 1000 };
  }

  async function key(renew) {
    if (renew || !token || token.until < Date.now()) {
      // Two panes ask at the same time; one token is enough.
      asking ??= fetchToken().finally(() => { asking = null; });
      await asking;
    }
    return token.text;
  }

  async function post(path, body, signal) {
    for (const renew of [false, true]) {
      const response = await fetch(path, {
        method: "POST",
        headers: { Authorization: `Bearer ${await key(renew)}`, "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal,
      });
      if (response.status !== 401 || renew) return response;
    }
  }

  async function refusal(response) {
    let error = {};
    try { error = (await response.json()).error ?? {}; } catch { /* not from the gateway */ }
    return Object.assign(new Error(error.message ?? `HTTP ${response.status}`), { code: error.code ?? String(response.status) });
  }

  // Whole events of a stream, parsed; ends at [DONE], throws what the stream says went wrong.
  async function* events(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw Object.assign(new Error(window.UI.strings.connectionLost), { code: "connection_lost" });
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const line = part.split("\n").find((text) => text.startsWith("data: "));
        if (!line) continue;
        if (line === "data: [DONE]") return;
        const data = JSON.parse(line.slice(6));
        if (data.error) throw Object.assign(new Error(data.error.message), { code: data.error.code });
        yield data;
      }
    }
  }

  // A token's bytes by its name in an answer of /v1/completions.
  function bytesOf(name) {
    const spelled = name.startsWith("bytes:") ? [...name.matchAll(/\\x([0-9a-f]{2})/g)] : [];
    return spelled.length ? spelled.map((match) => parseInt(match[1], 16)) : [...new TextEncoder().encode(name)];
  }

  // Scores of both kinds of answers in one form: [{bytes, logprob, top: [{bytes, logprob}]}].
  function scoresOf(logprobs) {
    const plain = (one) => ({ bytes: one.bytes ?? bytesOf(one.token), logprob: one.logprob });
    if (logprobs?.content) return logprobs.content.map((one) => ({ ...plain(one), top: (one.top_logprobs ?? []).map(plain) }));
    return (logprobs?.tokens ?? []).map((token, place) => ({
      bytes: bytesOf(token),
      logprob: logprobs.token_logprobs[place],
      top: Object.entries(logprobs.top_logprobs?.[place] ?? {}).map(([name, logprob]) => ({ bytes: bytesOf(name), logprob })),
    })).filter((one) => one.logprob !== null);
  }

  // Calls `on.start(requestId, headers)`, `on.scores(scores)`, `on.text(piece)`, `on.usage(usage)` and
  // `on.finish(reason)` as they come.
  async function ask(path, body, signal, on) {
    const response = await post(path, body, signal);
    on.start(response.headers.get("x-request-id") ?? "", response.headers);
    if (!response.ok) throw await refusal(response);
    for await (const chunk of events(response)) {
      const choice = chunk.choices[0];
      const scores = scoresOf(choice?.logprobs);
      if (scores.length) on.scores(scores);
      const piece = choice?.delta?.content ?? choice?.text;
      if (piece) on.text(piece);
      if (choice?.finish_reason) on.finish(choice.finish_reason);
      if (chunk.usage) on.usage(chunk.usage);
    }
  }

  // Who answered a request: it is written down a moment after the answer, so it is asked for again.
  async function servedBy(id, delays = [300, 700, 1500, 3000]) {
    for (const delay of delays) {
      await new Promise((done) => { setTimeout(done, delay); });
      const path = id.split("/").map(encodeURIComponent).join("/");
      const response = await fetch(`${$("#playground").dataset.requestsUrl}${path}/`, { credentials: "same-origin", redirect: "manual" });
      if (response.status !== 202) return response.ok ? response.json() : null;
    }
    return null;
  }

  return { ask, servedBy };
})();
