// Loaded before the first paint: applies the stored theme, else the system's.
(() => {
  let stored = null;
  try { stored = localStorage.getItem("theme"); } catch { /* storage is off: follow the system */ }
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    document.documentElement.dataset.bsTheme = (stored ? stored === "dark" : system.matches) ? "dark" : "light";
  };
  apply();
  system.addEventListener("change", () => {
    if (stored) return;
    apply();
    document.dispatchEvent(new CustomEvent("ui:theme"));
  });
})();
