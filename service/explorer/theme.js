// Light, dark, or as the system has it.

const KEY = "nearfit-theme";
const ORDER = ["auto", "light", "dark"];

/** Set the theme, and call back when it has changed. @param {() => void} onChange */
export function followTheme(onChange) {
  const button = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = ORDER.includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "auto";
  const set = () => {
    document.documentElement.dataset.theme = chosen === "auto" ? (system.matches ? "dark" : "light") : chosen;
    button.textContent = `Theme: ${chosen}`;
  };
  set();
  system.addEventListener("change", () => {
    set();
    onChange();
  });
  button.addEventListener("click", () => {
    chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
    localStorage.setItem(KEY, chosen);
    set();
    onChange();
  });
}
