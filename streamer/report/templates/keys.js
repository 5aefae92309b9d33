// Time can be walked and zoomed by keyboard as by mouse.
document.addEventListener("keydown", (event) => {
  const plot = event.target;
  if (!drawn.has(plot) || event.ctrlKey || event.metaKey || event.altKey) return;
  const article = plot.closest(".track");
  const round = plot.dataset.kind === "circumplex";
  const walks = { ",": -1, ".": 1, ...(round ? { ArrowLeft: -1, ArrowRight: 1 } : {}) };
  if (article && event.key in walks) {
    event.preventDefault();
    step(article, walks[event.key]);
    return;
  }
  if (round) return;
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

// A linked track may lie in a closed fold or be filtered out.
function unfold() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (!target) return;
  if (target.hidden) showAll(target.closest("[data-source]"));
  if (target.tagName === "DETAILS") target.open = true;
  if (target.matches(".track")) target.scrollIntoView({ block: "start" });
}
window.addEventListener("hashchange", unfold);
unfold();
