// Charts: each is a specification of DATA drawn by Vega, with rows from this page.
// Colours in them are CSS variables, so that they follow the page's scheme.

const VIEWS = new Map();

function showTip(handler, event, item, value) {
  const tip = byId("tip");
  tip.textContent = present(value) ? String(value) : "";
  const left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${event.clientY + 16}px`;
}

// The chart `name` under a key of its own. It is built once; later calls change its
// parameters, and its rows if `version` is another one.
function chart(name, key, { label, rows, version = "", params = {}, onClick }) {
  let entry = VIEWS.get(key);
  if (!entry) {
    const host = el("div", { class: "chart", "data-chart": name });
    const view = new vega.View(vega.parse(SPECIFICATIONS[name]), { renderer: "svg" })
      .tooltip(showTip)
      .description(label)
      .initialize(host);
    entry = { host, view, version: null };
    if (onClick)
      view.addEventListener("click", (_, item) => item?.datum && onClick(item.datum));
    VIEWS.set(key, entry);
  }
  const { view } = entry;
  for (const [param, value] of Object.entries(params)) view.signal(param, value);
  if (entry.version !== version) {
    for (const [source, list] of Object.entries(rows())) view.data(source, list);
    entry.version = version;
  }
  view.run();
  return entry.host;
}
function finite(rows, ...fields) {
  return rows.filter((row) => fields.every((field) => Number.isFinite(row[field])));
}
