// One socket a page. It only rings: regions with data-live-topic fetch their own HTML again and are
// morphed in place; logs and charts fetch what they miss. Every second ring within half a second is
// joined with the next, hidden tabs wait, and without a socket the page polls. Streams bring the thing
// itself: Live.stream("job.7.log", () => 77, handler) gets the lines after 77, and after a broken socket
// those after whatever the function says then.
(() => {
  const { $, $$, strings, refreshTimes, followChoice, morph } = window.UI;
  const REFRESH_MS = 500;
  const POLL_MS = 5000;
  const SAFETY_MS = 30000;
  const SILENCE_MS = 50000;
  const SIGNED_OUT = 4401;
  const path = document.body.dataset.socket;
  const badge = $("#live");
  const handlers = new Map();
  const streams = new Map();
  let socket = null;
  let tries = 0;
  let lastHeard = Date.now();
  let lastFresh = Date.now();
  let state = "off";
  let leaving = false;
  let timer = 0;
  let staleTimer = 0;

  // State, indicator and the note that says how old the page is.
  function show(next) {
    if (next === state) return;
    state = next;
    if (badge) {
      badge.hidden = next === "off";
      badge.dataset.state = next === "live" ? "live" : next === "off" ? "off" : "reconnecting";
      $(".live-text", badge).textContent = { live: strings.live, reconnecting: strings.reconnecting, signedOut: strings.signedOut }[next] ?? "";
    }
    clearTimeout(staleTimer);
    if (next === "reconnecting") staleTimer = setTimeout(stale, 4000);
    else if (next === "signedOut") stale();
    else $("#stale-note")?.setAttribute("hidden", "");
    document.dispatchEvent(new CustomEvent("live:state", { detail: next }));
  }
  function stale() {
    const note = $("#stale-note");
    if (!note) return;
    $("h2", note).textContent = state === "signedOut" ? strings.signedOut : strings.reconnecting;
    $("p", note).textContent = state === "signedOut" ? strings.signInAgain : strings.stale.replace("%s", new Date(lastFresh).toLocaleTimeString(document.documentElement.lang));
    note.hidden = false;
    if (state === "reconnecting") staleTimer = setTimeout(stale, 2000);
  }

  // Topics: what the regions name plus what scripts asked for.
  const subscribed = new Set();
  function wanted() {
    const topics = new Set([...handlers.keys(), ...streams.keys()]);
    $$("[data-live-topic]").forEach((region) => region.dataset.liveTopic.split(/\s+/).filter(Boolean).forEach((t) => topics.add(t)));
    return topics;
  }
  function syncTopics() {
    const topics = wanted();
    if (!path || state === "signedOut") return;
    if (!socket) { if (topics.size && !timer && !leaving) connect(); return; }
    if (socket.readyState !== WebSocket.OPEN) return;
    topics.forEach((topic) => {
      if (subscribed.has(topic)) return;
      subscribed.add(topic);
      const stream = streams.get(topic);
      socket.send(JSON.stringify(stream ? { sub: topic, after: stream.position() } : { sub: topic }));
    });
    subscribed.forEach((topic) => {
      if (!topics.has(topic)) { subscribed.delete(topic); socket.send(JSON.stringify({ unsub: topic })); }
    });
  }

  // The socket.
  function connect() {
    timer = 0;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const mine = new WebSocket(`${scheme}//${location.host}${path}`);
    socket = mine;
    subscribed.clear();
    mine.onopen = () => {
      lastHeard = Date.now();
      syncTopics();
    };
    mine.onmessage = (event) => {
      lastHeard = Date.now();
      tries = 0;
      receive(JSON.parse(event.data));
    };
    mine.onclose = (event) => {
      if (mine !== socket) return;
      socket = null;
      if (leaving || state === "signedOut") return;
      if (event.code === SIGNED_OUT) { show("signedOut"); return; }
      show("reconnecting");
      tries += 1;
      // Jitter keeps a thousand pages from coming back in the same second.
      timer = setTimeout(connect, Math.min(30000, 500 * 2 ** Math.min(tries, 6)) * (0.5 + Math.random() / 2));
    };
  }
  function receive(message) {
    const stream = streams.get(message.topic);
    if (stream) {
      show("live");
      lastFresh = Date.now();
      stream.handler(message.data ?? {}, message.type);
      return;
    }
    if (message.type === "subscribed") {
      show("live");
      // What changed before the subscription stood was not rung for.
      resync(message.topic);
      return;
    }
    show("live");
    lastFresh = Date.now();
    if (message.type === "refused" || message.type === "unsubscribed" || message.type === "heartbeat") return;
    handlers.get(message.topic)?.forEach((handler) => handler(message.data ?? {}, message.type));
    document.dispatchEvent(new CustomEvent("live:event", { detail: message }));
    $$("[data-live-topic]").forEach((region) => {
      const only = region.dataset.liveEvents?.split(/\s+/);
      if (region.dataset.liveTopic.split(/\s+/).includes(message.topic) && (!only || only.includes(message.type))) mark(region);
    });
  }
  function resync(topic) {
    handlers.get(topic)?.forEach((handler) => handler({}, "resync"));
    document.dispatchEvent(new CustomEvent("live:resync", { detail: topic }));
    $$("[data-live-topic]").forEach((region) => { if (region.dataset.liveTopic.split(/\s+/).includes(topic)) mark(region); });
  }

  // Regions, gathered by the address they come from.
  const sources = new Map();
  function mark(region) {
    if (!region.id) { console.error("data-live-topic needs an id", region); return; }
    const own = region.dataset.liveRefresh;
    const url = own && own !== "current" ? own : location.pathname + location.search;
    if (!sources.has(url)) sources.set(url, { url, ids: new Set(), last: 0, timer: 0, busy: false });
    const source = sources.get(url);
    source.ids.add(region.id);
    plan(source, 60);
  }
  function plan(source, least) {
    if (source.timer || source.busy || document.hidden || leaving) return;
    source.timer = setTimeout(refresh, Math.max(least, source.last + REFRESH_MS - Date.now()), source);
  }
  function occupied(region) {
    const at = document.activeElement;
    if (at && region.contains(at) && at.matches("input:not([type=checkbox], [type=radio], [type=range]), textarea, select, [contenteditable]")) return true;
    if ($("#confirm[open]") || $(".dropdown-menu.show, dialog[open]", region)) return true;
    const chosen = getSelection();
    return Boolean(chosen && !chosen.isCollapsed && region.contains(chosen.anchorNode));
  }
  async function refresh(source) {
    source.timer = 0;
    const free = [...source.ids].filter((id) => { const region = document.getElementById(id); return !region || !occupied(region); });
    if (!free.length) { if (source.ids.size) plan(source, 1000); return; }
    source.busy = true;
    source.last = Date.now();
    free.forEach((id) => source.ids.delete(id));
    try {
      const response = await fetch(source.url, { headers: { "X-Live-Refresh": "1", Accept: "text/html" }, redirect: "manual", credentials: "same-origin" });
      if (response.type === "opaqueredirect" || response.status === 401) { show("signedOut"); socket?.close(); return; }
      if (!response.ok) throw new Error(String(response.status));
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      lastFresh = Date.now();
      free.forEach((id) => put(id, page.getElementById(id), source));
    } catch (error) {
      console.info(strings.refreshFailed, source.url, String(error));
    } finally {
      source.busy = false;
      if (source.ids.size) plan(source, 60);
    }
  }
  function put(id, fresh, source) {
    const region = document.getElementById(id);
    if (!region || !fresh) return;
    if (occupied(region)) { source.ids.add(id); return; }
    morph(region, fresh);
    refreshTimes(region);
    followChoice(region);
    document.dispatchEvent(new CustomEvent("live:refreshed", { detail: region }));
    syncTopics();
  }

  function poll() {
    if (!document.hidden && state !== "signedOut") $$("[data-live-topic]").forEach(mark);
    setTimeout(poll, state === "live" ? SAFETY_MS : POLL_MS);
  }
  // data-live-every="10": a region whose figures change without an event, such as signs of life.
  let seconds = 0;
  setInterval(() => {
    seconds += 1;
    if (state !== "signedOut" && !document.hidden) $$("[data-live-every]").filter((region) => seconds % Number(region.dataset.liveEvery) === 0).forEach(mark);
  }, 1000);
  setInterval(() => { if (socket?.readyState === WebSocket.OPEN && Date.now() - lastHeard > SILENCE_MS) socket.close(); }, 5000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) sources.forEach((source) => { if (source.ids.size) plan(source, 60); }); });
  document.addEventListener("htmx:after:swap", syncTopics);
  window.addEventListener("pagehide", () => { leaving = true; socket?.close(); });
  window.addEventListener("pageshow", (event) => { if (event.persisted) { leaving = false; syncTopics(); $$("[data-live-topic]").forEach(mark); } });
  window.addEventListener("online", () => { if (timer) { clearTimeout(timer); connect(); } });

  window.Live = {
    on(topic, handler) {
      if (!handlers.has(topic)) handlers.set(topic, new Set());
      handlers.get(topic).add(handler);
      syncTopics();
    },
    stream(topic, position, handler) {
      streams.set(topic, { position, handler });
      syncTopics();
    },
    refresh: mark,
    get state() { return state; },
  };
  syncTopics();
  setTimeout(poll, POLL_MS);
})();
