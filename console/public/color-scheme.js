// Sets the colour scheme before the first paint (external file: no inline script, so the CSP stays strict).
(function () {
  var v = "auto";
  try {
    v = localStorage.getItem("mantine-color-scheme-value") || "auto";
  } catch (e) {}
  var dark = v === "dark" || (v !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
