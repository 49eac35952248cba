// Forms with data-upload="<limit in bytes>": files can be dropped, are listed before they are sent, and go
// by XMLHttpRequest, which alone tells how far an upload is. Without this script the form sends itself.
(() => {
  const { $, $$, strings, lang, toast, followChoice, morph } = window.UI;
  const form = $("form[data-upload]");
  if (!form) return;
  const limit = Number(form.dataset.upload);
  const progress = $("[data-progress]", form);
  let request = null;

  const number = (value, digits = 0) => new Intl.NumberFormat(lang, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
  function size(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
    return `${number(bytes, unit ? 1 : 0)} ${units[unit]}`;
  }
  function span(seconds) {
    const [value, unit] = seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"];
    return new Intl.NumberFormat(lang, { style: "unit", unit, maximumFractionDigits: 0 }).format(Math.max(1, value));
  }
  const share = (part) => new Intl.NumberFormat(lang, { style: "percent" }).format(part);
  const fill = (text, values) => text.replace(/%\((\w+)\)s/g, (_, name) => values[name]);

  // The chosen files.
  const input = () => $("input[type=file]", form);
  const total = () => [...input().files].reduce((sum, file) => sum + file.size, 0);
  function problem(text) {
    const place = $(`#${input().id}_error`);
    place.replaceChildren();
    if (text) place.append(Object.assign(document.createElement("span"), { className: "field-error", textContent: text }));
  }
  function list() {
    const place = $("[data-files]", form);
    const files = [...input().files];
    const line = (name, right) => {
      const item = document.createElement("li");
      item.append(Object.assign(document.createElement("span"), { textContent: name }), Object.assign(document.createElement("span"), { className: "faint num", textContent: right }));
      return item;
    };
    place.replaceChildren(...files.slice(0, 8).map((file) => line(file.name, size(file.size))));
    if (files.length > 1) place.append(line(fill(strings.filesChosen, { count: number(files.length) }), size(total())));
    place.hidden = !files.length;
  }
  const fits = () => total() <= limit;
  function chosen() {
    list();
    problem(fits() ? "" : fill(strings.uploadTooLarge, { size: size(total()), limit: size(limit) }));
  }
  form.addEventListener("change", (event) => { if (event.target === input()) chosen(); });

  // Dropping. A folder that is dropped has no files of its own; the field takes what it can.
  const zone = () => $("[data-drop]", form);
  const offers = (event) => event.dataTransfer?.types.includes("Files") && !input().disabled && !request;
  ["dragenter", "dragover"].forEach((name) => form.addEventListener(name, (event) => {
    if (!offers(event)) return;
    event.preventDefault();
    zone().classList.add("is-over");
  }));
  form.addEventListener("dragleave", (event) => { if (!form.contains(event.relatedTarget)) zone().classList.remove("is-over"); });
  form.addEventListener("drop", (event) => {
    if (!offers(event)) return;
    event.preventDefault();
    zone().classList.remove("is-over");
    if (event.dataTransfer.files.length) { input().files = event.dataTransfer.files; chosen(); }
  });

  // Sending.
  function busy(on) {
    progress.hidden = !on;
    $$("button[type=submit]", form).forEach((button) => { button.disabled = on; });
  }
  function show(percent, text) {
    $(".bar-1", progress).setAttribute("width", `${percent.toFixed(1)}%`);
    const place = $("[data-progress-text]", progress);
    if (place.textContent !== text) place.textContent = text;
  }
  function follow(upload) {
    const began = performance.now();
    let told = 0;
    upload.onprogress = (event) => {
      const now = performance.now();
      if (!event.lengthComputable || (now - told < 250 && event.loaded < event.total)) return;
      told = now;
      const speed = event.loaded / Math.max(0.05, (now - began) / 1000);
      const percent = (100 * event.loaded) / event.total;
      const left = span((event.total - event.loaded) / speed);
      show(percent, event.loaded < event.total ? fill(strings.uploading, { percent: share(percent / 100), speed: size(speed), left }) : strings.uploadStoring);
    };
    upload.onload = () => show(100, strings.uploadStoring);
  }
  function refuse(text) {
    busy(false);
    problem(text);
    toast("error", strings.uploadFailed, text);
  }
  function answered() {
    const { status, responseText, responseURL } = request;
    const json = (request.getResponseHeader("content-type") ?? "").includes("json");
    request = null;
    if (status === 201 && json) { location.assign(JSON.parse(responseText).location); return; }
    if (status === 422 && !json) {
      const fresh = new DOMParser().parseFromString(responseText, "text/html").getElementById(form.id);
      busy(false);
      if (fresh) morph(form, fresh);
      busy(false);
      ready();
      $(".is-invalid", form)?.focus();
      $(".field-error, .note", form)?.scrollIntoView({ block: "center" });
      return;
    }
    // Signed out meanwhile: the answer is the page to sign in.
    if (status === 200) { location.assign(responseURL); return; }
    const said = json ? JSON.parse(responseText).detail : "";
    refuse(said || strings.unknownError);
  }
  form.addEventListener("submit", (event) => {
    const files = input();
    if (files.disabled || !files.files.length) return;
    event.preventDefault();
    if (request) return;
    if (!fits()) { chosen(); files.focus(); return; }
    request = new XMLHttpRequest();
    request.open("POST", location.href);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-Upload", "1");
    follow(request.upload);
    request.onload = answered;
    request.onerror = () => { request = null; refuse(strings.uploadBroken); };
    const data = new FormData(form);
    busy(true);
    show(0, fill(strings.uploading, { percent: share(0), speed: "–", left: "–" }));
    request.send(data);
  });
  $("[data-progress-stop]", form).addEventListener("click", () => {
    request?.abort();
    request = null;
    busy(false);
    toast("info", strings.uploadStopped);
  });
  window.addEventListener("beforeunload", (event) => { if (request) event.preventDefault(); });

  function ready() {
    followChoice(form);
    $$(".drop-hint", form).forEach((hint) => { hint.hidden = false; });
    list();
  }
  ready();
})();
