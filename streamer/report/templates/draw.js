// Figures: read from the page, coloured by its theme, drawn when they come near the window.
const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const coarse = window.matchMedia("(pointer: coarse)").matches;
const plots = [...document.querySelectorAll(".plot")];
const drawn = new Set();
const stale = new Set();
const shown = new WeakMap();
const pending = new WeakMap();

function theme() {
  const style = getComputedStyle(root);
  const colour = (name) => style.getPropertyValue("--" + name).trim();
  const names = {
    ink: "ink", muted: "muted", rule: "rule", surface: "paper", valence: "valence", arousal: "arousal", bad: "bad",
    valence_band: "valence-band", arousal_band: "arousal-band", poor: "poor", veil: "veil",
  };
  const found = Object.fromEntries(Object.entries(names).map(([key, name]) => [key, colour(name)]));
  found.time = [[0, colour("time-from")], [0.5, colour("time-mid")], [1, colour("time-to")]];
  return found;
}

// "@name" stands for a column of the figure, "$name" for a colour of the page.
function filled(value, columns, colours) {
  if (typeof value === "string") {
    if (value[0] === "@") return columns[value.slice(1)];
    if (value[0] === "$") return colours[value.slice(1)];
    return value;
  }
  if (Array.isArray(value)) return value.map((item) => filled(item, columns, colours));
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, columns, colours)]));
  return value;
}

function template(colours) {
  const axis = {
    gridcolor: colours.rule, linecolor: colours.rule, zerolinecolor: colours.rule, tickcolor: "rgba(0,0,0,0)",
    ticks: "outside", ticklen: 5, automargin: false, title: { font: { size: 12, color: colours.muted } },
    tickfont: { size: 11, color: colours.muted },
  };
  return {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colours.ink },
      xaxis: { ...axis, showgrid: false, zeroline: false }, yaxis: axis,
      hoverlabel: { bgcolor: colours.surface, bordercolor: colours.rule, font: { color: colours.ink, size: 12 } },
      dragmode: coarse ? false : "zoom",
    },
  };
}

function figureOf(plot) {
  return JSON.parse(document.getElementById("figure-" + plot.dataset.figure).textContent);
}

function draw(plot, size) {
  const figure = narrowed(figureOf(plot), choiceFor(plot));
  const colours = theme();
  const data = filled(figure.data, figure.columns, colours);
  const layout = { ...filled(figure.layout, {}, colours), template: template(colours), autosize: !size, ...size };
  if (plot.dataset.kind === "circumplex" && !size) {
    layout.height = Math.min(layout.height, plot.clientWidth + 20);
    plot.style.minHeight = layout.height + "px";
  }
  if (drawn.has(plot)) layout.xaxis = { ...layout.xaxis, range: plot.layout.xaxis.range };
  const first = !drawn.has(plot);
  drawn.add(plot);
  stale.delete(plot);
  shown.set(plot, figure);
  const config = { responsive: true, displayModeBar: false, displaylogo: false, showTips: false };
  const done = Plotly.react(plot, data, layout, config).then(() => {
    plot.dataset.whole = plot.dataset.whole || JSON.stringify(figure.layout.xaxis.range);
    if (first) follow(plot);
    place(plot);
    plot.dataset.drawn = "yes";
  });
  pending.set(plot, done);
  return done;
}

function ready(plot) {
  return drawn.has(plot) && !stale.has(plot) ? pending.get(plot) : draw(plot);
}

const near = new IntersectionObserver((entries) => {
  for (const entry of entries)
    if (entry.isIntersecting && (!drawn.has(entry.target) || stale.has(entry.target))) draw(entry.target);
}, { rootMargin: "400px" });
plots.forEach((plot) => near.observe(plot));
dark.addEventListener("change", () => again([...drawn]));

// What is near the window is drawn anew at once, the rest when it comes near.
function again(changed) {
  for (const plot of changed.filter((one) => drawn.has(one))) {
    stale.add(plot);
    near.unobserve(plot);
    near.observe(plot);
  }
}
