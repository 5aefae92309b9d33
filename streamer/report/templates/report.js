"use strict";
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Set();

  function theme() {
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue("--" + name).trim();
    const names = {
      ink: "ink", muted: "muted", rule: "rule", surface: "paper", valence: "valence", arousal: "arousal",
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

  function draw(plot) {
    const figure = JSON.parse(document.getElementById("figure-" + plot.dataset.figure).textContent);
    const colours = theme();
    const data = filled(figure.data, figure.columns, colours);
    const layout = { ...filled(figure.layout, {}, colours), template: template(colours), autosize: true };
    if (plot.dataset.kind === "circumplex") {
      layout.height = Math.min(layout.height, plot.clientWidth + 20);
      plot.style.minHeight = layout.height + "px";
    }
    if (drawn.has(plot)) layout.xaxis = { ...layout.xaxis, range: plot.layout.xaxis.range };
    drawn.add(plot);
    const config = { responsive: true, displayModeBar: false, displaylogo: false, showTips: false };
    return Plotly.react(plot, data, layout, config).then(() => {
      plot.dataset.drawn = "yes";
      plot.dataset.whole = plot.dataset.whole || JSON.stringify(figure.layout.xaxis.range);
    });
  }

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries)
      if (entry.isIntersecting && !drawn.has(entry.target)) draw(entry.target);
  }, { rootMargin: "400px" });
  plots.forEach((plot) => near.observe(plot));
  dark.addEventListener("change", () => drawn.forEach(draw));

  // Time can be walked and zoomed by keyboard as by mouse.
  document.addEventListener("keydown", (event) => {
    const plot = event.target;
    if (!drawn.has(plot) || !plot.matches("[tabindex]") || event.ctrlKey || event.metaKey || event.altKey) return;
    const axis = plot._fullLayout.xaxis;
    const [low, high] = axis.range.map((end) => axis.r2l(end));
    const [first, last] = JSON.parse(plot.dataset.whole);
    const width = high - low;
    const steps = { ArrowLeft: [-0.2, -0.2], ArrowRight: [0.2, 0.2], "+": [0.2, -0.2], "=": [0.2, -0.2], "-": [-1 / 3, 1 / 3] };
    let range = [first, last];
    if (event.key in steps) {
      range = [low + steps[event.key][0] * width, high + steps[event.key][1] * width];
      if (event.key.startsWith("Arrow") && (range[0] < first || range[1] > last)) {
        const back = range[0] < first ? first - range[0] : last - range[1];
        range = [range[0] + back, range[1] + back];
      }
      range = [Math.max(first, range[0]), Math.min(last, range[1])];
    } else if (event.key !== "0") return;
    event.preventDefault();
    Plotly.relayout(plot, { "xaxis.range": range.map((end) => axis.l2r(end)) });
  });

  // A linked track may lie in a closed fold.
  function unfold() {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (target && target.tagName === "DETAILS") target.open = true;
  }
  window.addEventListener("hashchange", unfold);
  unfold();

  let closed = [];
  window.addEventListener("beforeprint", () => {
    root.dataset.print = "";
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((fold) => { fold.open = true; });
    plots.forEach((plot) => {
      draw(plot);
      Plotly.relayout(plot, { autosize: false, width: plot.dataset.kind === "circumplex" ? 400 : 660 });
    });
  });
  window.addEventListener("afterprint", () => {
    delete root.dataset.print;
    closed.forEach((fold) => { fold.open = false; });
    drawn.forEach(draw);
  });
})();
