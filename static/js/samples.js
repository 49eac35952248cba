// The texts of a training, step by step: a slider and two arrows choose the step. The address keeps it
// (?sample=400), so that the region, refreshed by live.js, stays there; at the newest step it follows.
(() => {
  const { $, morph } = window.UI;
  const WAIT_MS = 150;
  let timer = 0;
  let asked = 0;

  function choose(step, newest) {
    const url = new URL(location.href);
    if (newest) url.searchParams.delete("sample");
    else url.searchParams.set("sample", step);
    history.replaceState(history.state, "", url);
  }

  // The slider shows what the fresh copy says, also after it was moved by hand.
  function follow() {
    const slider = $("[data-sample-steps]");
    if (slider) slider.value = slider.getAttribute("value");
  }

  async function load() {
    asked += 1;
    const mine = asked;
    const response = await fetch(location.pathname + location.search, { headers: { "X-Live-Refresh": "1", Accept: "text/html" }, credentials: "same-origin" });
    if (!response.ok || mine !== asked) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const [old, fresh] = [$("#job-samples"), page.getElementById("job-samples")];
    if (!old || !fresh || mine !== asked) return;
    morph(old, fresh);
    follow();
  }
  const later = () => { clearTimeout(timer); timer = setTimeout(load, WAIT_MS); };

  document.addEventListener("input", (event) => {
    const slider = event.target.closest?.("[data-sample-steps]");
    if (!slider) return;
    const steps = slider.dataset.sampleSteps.split(",");
    const at = Number(slider.value);
    slider.setAttribute("aria-valuetext", steps[at]);
    choose(steps[at], at === steps.length - 1);
    later();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-sample-step]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const steps = $("[data-sample-steps]").dataset.sampleSteps.split(",");
    choose(link.dataset.sampleStep, link.dataset.sampleStep === steps.at(-1));
    load();
  });
  document.addEventListener("live:refreshed", ({ detail: region }) => { if (region.id === "job-samples") follow(); });
})();
