// Start: links to the views, the theme, and the first view.

document.getElementById("views").append(
  ...["summary", "curves", "pictures", "categories", "changes", "study", "troubles", "made"].filter((name) => views.has(name)).map((name) =>
    element("a", { href: `#${name}`, "data-view": name }, views.get(name).title),
  ),
);

const themeButton = document.getElementById("theme");
const THEMES = { "": "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  themeButton.textContent = theme === "dark" ? "☾" : theme === "light" ? "☀" : "◐";
  themeButton.setAttribute("aria-label", THEMES[theme]);
  themeButton.title = THEMES[theme];
}

themeButton.addEventListener("click", () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});
setTheme("");

document.addEventListener("click", (event) => {
  for (const picker of document.querySelectorAll("details.picker[open]")) {
    if (!picker.contains(event.target)) picker.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  const picker = event.target.closest?.("details.picker[open]");
  if (event.key === "Escape" && picker) {
    picker.open = false;
    picker.querySelector("summary").focus();
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});

window.addEventListener("hashchange", () => {
  show();
  window.scrollTo(0, 0);
});
show();
