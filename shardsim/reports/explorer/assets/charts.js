// Charts: each is a specification of SPECIFICATIONS drawn by Vega, with rows from this
// page. Colours in them are CSS variables, so that they follow the page's scheme.

const VIEWS = new Map();
// Promises of charts that are not drawn yet.
const PENDING = [];

function showTip(handler, event, item, value) {
  const tip = byId("tip");
  tip.textContent = present(value) ? String(value) : "";
  const left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${event.clientY + 16}px`;
}
const EMBEDDING = {
  // errors only: a chart without rows, of a seed that diverged, warns of its empty axes
  logLevel: 1,
  mode: "vega",
  renderer: "svg",
  actions: false,
  defaultStyle: false,
  hover: false,
  tooltip: showTip,
};

// A copy of a specification with its first rows and parameters.
function specification(name, rows, params) {
  const spec = structuredClone(SPECIFICATIONS[name]);
  for (const source of spec.data)
    if (rows[source.name]) source.values = rows[source.name];
  for (const signal of spec.signals ?? [])
    if (signal.name in params) signal.value = params[signal.name];
  return spec;
}

// The chart `name` under a key of its own. It is built once; later calls change its
// parameters, and its rows if `version` is another one.
function chart(name, key, { label, rows, version = "", params = {}, onClick }) {
  let entry = VIEWS.get(key);
  if (!entry) {
    const host = el("div", { class: "chart", "data-chart": name });
    entry = { host, view: null, version };
    VIEWS.set(key, entry);
    const spec = { ...specification(name, rows(), params), description: label };
    const drawn = vegaEmbed(host, spec, EMBEDDING).then(({ view }) => {
      if (onClick)
        view.addEventListener("click", (_, item) => item?.datum && onClick(item.datum));
      entry.view = view;
      entry.update();
    });
    PENDING.push(drawn);
  }
  entry.update = () => {
    for (const [param, value] of Object.entries(params))
      entry.view.signal(param, value);
    if (entry.version !== version)
      for (const [source, list] of Object.entries(rows()))
        entry.view.data(source, list);
    entry.version = version;
    entry.view.run();
  };
  if (entry.view) entry.update();
  return entry.host;
}
function finite(rows, ...fields) {
  return rows.filter((row) => fields.every((field) => Number.isFinite(row[field])));
}
