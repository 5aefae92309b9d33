// A moment pointed at in one figure is shown in the others: a line in those of time, a ring in the circumplex.
const pointed = new WeakMap();

function clock(t) {
  if (t < 59.95) return t.toFixed(1) + " s";
  const whole = Math.floor(t * 10 + 0.5) / 10;
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const rest = `${(whole % 60).toFixed(1).padStart(4, "0")}`;
  return hours ? `${hours}:${two((whole / 60) % 60)}:${rest}` : `${Math.floor(whole / 60)}:${rest}`;
}

function toSeconds(plot, px) {
  const [origin, factor] = shown.get(plot).scale;
  return (plot._fullLayout.xaxis.p2l(px - plot._fullLayout.xaxis._offset) - origin) / factor;
}

function toPosition(plot, t) {
  const [origin, factor] = shown.get(plot).scale;
  return origin + t * factor;
}

function circumplexOf(article) {
  return article.querySelector(".plot.circumplex");
}

// What an article's circumplex shows, drawn or not.
function ringFigure(article) {
  const ring = circumplexOf(article);
  return drawn.has(ring) && !stale.has(ring) ? shown.get(ring) : narrowed(figureOf(ring), choiceFor(ring));
}

// The point of the circumplex nearest in time, or -1 where none is near.
function nearest(figure, t) {
  const times = figure.columns.t;
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < t) low = middle + 1; else high = middle;
  }
  if (low > 0 && (low === times.length || t - times[low - 1] < times[low] - t)) low -= 1;
  return times.length && Math.abs(times[low] - t) <= figure.near_s ? low : -1;
}

function point(article, t, spoken) {
  pointed.set(article, t);
  article.dataset.pointed = t.toFixed(4);
  const figure = ringFigure(article);
  const k = nearest(figure, t);
  const output = article.querySelector("output");
  output.setAttribute("aria-live", spoken ? "polite" : "off");
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  output.textContent = k < 0 ? `${clock(t)}: nothing to show` :
    `${clock(figure.columns.t[k])} · ${EXPRESSIONS[figure.columns.code[k]] ?? "no label"} · valence ` +
    `${signed(figure.columns.v[k])} · arousal ${signed(figure.columns.a[k])}`;
  for (const plot of article.querySelectorAll(".plot")) place(plot);
  const lanes = article.closest("[data-source]").querySelector(".plot.presence");
  if (lanes) {
    pointed.set(lanes, t);
    place(lanes);
  }
}

function place(plot) {
  const mark = plot.parentElement.querySelector(".now, .here");
  const article = plot.closest(".track");
  const t = pointed.get(article ?? plot);
  if (!drawn.has(plot) || !plot._fullLayout || t === undefined) return;
  const { xaxis, yaxis } = plot._fullLayout;
  if (mark.classList.contains("here")) {
    const figure = shown.get(plot);
    const k = nearest(figure, t);
    mark.hidden = k < 0;
    if (k < 0) return;
    mark.style.left = xaxis._offset + xaxis.l2p(figure.columns.v[k]) + "px";
    mark.style.top = yaxis._offset + yaxis.l2p(figure.columns.a[k]) + "px";
    return;
  }
  const x = xaxis.l2p(toPosition(plot, t));
  mark.hidden = x < -1 || x > xaxis._length + 1;
  mark.style.left = xaxis._offset + x + "px";
  mark.style.top = plot._fullLayout.margin.t + "px";
  mark.style.height = plot._fullLayout.height - plot._fullLayout.margin.t - plot._fullLayout.margin.b + "px";
}

// Called once for each plot, when it was drawn for the first time.
function follow(plot) {
  plot.on("plotly_relayout", () => place(plot));
  plot.on("plotly_afterplot", () => place(plot));
  const article = plot.closest(".track");
  if (!article) return;
  if (plot.dataset.kind === "circumplex") {
    plot.on("plotly_hover", (event) => {
      const at = event.points.find((one) => one.data.meta === "points");
      if (at) point(article, shown.get(plot).columns.t[at.pointNumber], false);
    });
    return;
  }
  let waiting = false;
  plot.addEventListener("pointermove", (event) => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      const px = event.clientX - plot.getBoundingClientRect().left;
      const { xaxis } = plot._fullLayout;
      if (px >= xaxis._offset && px <= xaxis._offset + xaxis._length) point(article, toSeconds(plot, px), false);
    });
  }, { capture: true });
}

// The moment before or after, among those the circumplex shows.
function step(article, by) {
  const { t: times } = ringFigure(article).columns;
  if (!times.length) return;
  const from = pointed.get(article);
  let k = 0;
  if (from !== undefined) {
    k = times.findIndex((t) => t >= from - 1e-6);
    if (k < 0) k = times.length - 1;
    k = Math.min(times.length - 1, Math.max(0, k + by));
  }
  point(article, times[k], true);
}

// From the list of moments to the moment itself: the track unfolds, the timeline looks closer, the line stands there.
function jump(article, at, end) {
  const section = article.closest("[data-source]");
  if (article.hidden) showAll(section);
  if (article.tagName === "DETAILS") article.open = true;
  const timeline = article.querySelector(".plot.timeline");
  article.scrollIntoView({ block: "start" });
  return ready(timeline).then(() => {
    const [first, last] = JSON.parse(timeline.dataset.whole);
    const pad = Math.max(4, (end - at) * 0.25);
    const range = [Math.max(first, toPosition(timeline, at - pad)), Math.min(last, toPosition(timeline, end + pad))];
    const { xaxis } = timeline._fullLayout;
    return Plotly.relayout(timeline, { "xaxis.range": range.map((side) => xaxis.l2r(side)) });
  }).then(() => {
    point(article, at, true);
    timeline.focus({ preventScroll: true });
  });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest(".moment a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.replaceState(null, "", link.hash);
  jump(document.getElementById(link.hash.slice(1)), Number(link.dataset.at), Number(link.dataset.end));
});
