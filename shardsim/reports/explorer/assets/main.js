// The first drawing, and what makes it change.

applyDefaults();
fromHash();
buildControls();
buildMazes();
for (const [name, build] of Object.entries(PANELS)) if (body(name)) build(body(name));
LISTENERS.push(drawCell);
for (const button of document.querySelectorAll("[data-save]"))
  button.addEventListener("click", () => DOWNLOADS[button.dataset.save]());
for (const button of document.querySelectorAll(".sortable thead button"))
  button.addEventListener("click", () => sortTable(button));
addEventListener("keydown", onKey);
addEventListener("hashchange", () => {
  if (location.hash === toHash()) return;
  fromHash();
  draw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
Promise.all(PENDING).then(() => {
  document.documentElement.dataset.ready = "";
});
