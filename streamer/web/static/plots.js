// The charts of one face. Data comes as points and windows; everything is drawn relative to the newest frame.
import { echarts } from "nicegui-echart";
import { LABELS, clock } from "/dashboard/words.js";

export const STEP_S = 0.5;
export const SPAN_S = 120;
const TRAIL_S = 30;
const [VALENCE, AROUSAL, LOW] = [8, 9, 10];
const FONT = 'system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif';

export class Plots {
  constructor(colours) {
    this.colours = colours;
    this.charts = {};
  }

  place(kind, element) {
    if (this.charts[kind]?.getDom() === element) return;
    this.drop(kind);
    const chart = echarts.init(element, null, { renderer: "canvas" });
    this.charts[kind] = chart;
    chart.watching = new ResizeObserver(() => chart.resize());
    chart.watching.observe(element);
  }

  draw(points, windows, now, band, anew) {
    const theme = themeNow();
    const says = { probs: () => this.probs(points, now, theme), round: () => this.round(points, now, theme), band: () => this.band(windows, now, band, theme) };
    for (const [kind, chart] of Object.entries(this.charts)) {
      if (!chart.getDom().isConnected) {
        this.drop(kind);
        continue;
      }
      if (anew) chart.clear();
      chart.setOption(says[kind](), { replaceMerge: ["series"] });
    }
  }

  drop(kind) {
    this.charts[kind]?.watching.disconnect();
    this.charts[kind]?.dispose();
    delete this.charts[kind];
  }

  dispose() {
    for (const kind of Object.keys(this.charts)) this.drop(kind);
  }

  probs(points, now, theme) {
    const rows = gapped(points, now);
    const series = LABELS.map((label, k) => ({
      id: label, name: label, type: "line", stack: "all", symbol: "none", silent: true, lineStyle: { width: 0 },
      areaStyle: { color: this.colours[label], opacity: 0.9 }, data: rows.map(([x, point]) => [x, point ? point[k + 1] : null]),
    }));
    series[0].markArea = { silent: true, itemStyle: { color: theme.veilStrong }, data: stretches(points, now) };
    return { ...base(theme), yAxis: axis(theme, 0, 1, 0.5, (value) => `${100 * value} %`), series };
  }

  round(points, now, theme) {
    const trail = points.filter((point) => point[0] * STEP_S > now - TRAIL_S);
    const at = (point) => [point[VALENCE], point[AROUSAL]];
    const line = { type: "value", min: -1, max: 1, interval: 0.5, axisLine: { show: false }, axisTick: { show: false }, axisLabel: { show: false }, splitLine: { lineStyle: { color: theme.rule } } };
    const words = [["pleasant", 0.98, 0.06, "right"], ["unpleasant", -0.98, 0.06, "left"], ["excited", 0.04, 0.93, "left"], ["calm", 0.04, -0.93, "left"]];
    return {
      animation: false, textStyle: { fontFamily: FONT },
      grid: { left: 6, right: 6, top: 6, bottom: 6 }, xAxis: line, yAxis: line,
      series: [
        { id: "cross", type: "line", symbol: "none", silent: true, lineStyle: { color: theme.edge, width: 1 }, data: [[-1, 0], [1, 0], null, [0, -1], [0, 1]].map((one) => one ?? ["-", "-"]) },
        { id: "words", type: "scatter", symbolSize: 0, silent: true, data: words.map(([text, x, y, align]) => ({ value: [x, y], label: { show: true, formatter: text, align, color: theme.muted, fontSize: 11, position: [0, 0] } })) },
        { id: "trail", type: "line", symbol: "none", silent: true, smooth: 0.2, lineStyle: { color: theme.arousal, width: 1.4, opacity: 0.45 }, data: trail.map(at) },
        { id: "dots", type: "scatter", silent: true, symbolSize: 5, data: trail.map((point, k) => ({ value: at(point), itemStyle: { color: theme.arousal, opacity: 0.15 + (0.55 * k) / trail.length } })) },
        { id: "now", type: "scatter", silent: true, symbolSize: 13, itemStyle: { color: theme.arousal, borderColor: theme.raised, borderWidth: 2 }, data: trail.length ? [at(trail.at(-1))] : [] },
      ],
    };
  }

  band(windows, now, what, theme) {
    const shown = windows.filter((one) => one[2] > now - SPAN_S);
    if (what === "va") {
      const series = [...span("valence", shown, 24, now, theme.valence), ...span("arousal", shown, 27, now, theme.arousal)];
      return { ...base(theme), yAxis: axis(theme, -1, 1, 1, (value) => (value > 0 ? `+${value}` : value < 0 ? `−${-value}` : "0")), series };
    }
    const k = LABELS.indexOf(what);
    return { ...base(theme), yAxis: axis(theme, 0, 1, 0.5, (value) => `${100 * value} %`), series: span(what, shown, [3 + k, 10 + k, 17 + k], now, this.colours[what]) };
  }
}

/** A band from minimum to maximum with the mean as a line; `at` is the first of three columns, or all three. */
function span(name, windows, at, now, colour) {
  const [low, mean, high] = Array.isArray(at) ? at : [at, at + 1, at + 2];
  const over = (value) => windows.flatMap((one) => [[one[1] - now, value(one)], [one[2] - now, value(one)]]);
  const quiet = { type: "line", symbol: "none", silent: true };
  return [
    { ...quiet, id: `${name} low`, stack: name, stackStrategy: "all", lineStyle: { width: 0 }, data: over((one) => one[low]) },
    { ...quiet, id: `${name} high`, stack: name, stackStrategy: "all", lineStyle: { width: 0 }, areaStyle: { color: colour, opacity: 0.22 }, data: over((one) => one[high] - one[low]) },
    { ...quiet, id: name, name, lineStyle: { color: colour, width: 1.8 }, data: over((one) => one[mean]) },
  ];
}

/** [seconds before now, point], with nothing where a second or more is missing. */
function gapped(points, now) {
  const rows = [];
  points.forEach((point, k) => {
    const x = point[0] * STEP_S - now;
    if (k && point[0] - points[k - 1][0] > 4) rows.push([x - STEP_S, null]);
    rows.push([x, point]);
  });
  return rows;
}

/** Where the quality was low, as areas. */
function stretches(points, now) {
  const found = [];
  for (const point of points) {
    if (point[LOW] < 0.5) continue;
    const x = point[0] * STEP_S - now;
    const last = found.at(-1);
    if (last && x - last[1].xAxis <= STEP_S) last[1].xAxis = x + STEP_S;
    else found.push([{ xAxis: x }, { xAxis: x + STEP_S }]);
  }
  return found;
}

function base(theme) {
  return {
    animation: false, textStyle: { fontFamily: FONT },
    grid: { left: 44, right: 12, top: 8, bottom: 22 },
    xAxis: {
      type: "value", min: -SPAN_S, max: 0, interval: 30,
      axisLabel: { color: theme.muted, fontSize: 11, formatter: (value) => (value ? `−${clock(-value)}` : "now") },
      axisLine: { lineStyle: { color: theme.edge } }, axisTick: { show: false }, splitLine: { show: false },
    },
  };
}

const axis = (theme, min, max, interval, formatter) => ({
  type: "value", min, max, interval, axisLine: { show: false }, axisTick: { show: false },
  axisLabel: { color: theme.muted, fontSize: 11, formatter },
  splitLine: { lineStyle: { color: theme.rule } },
});

function themeNow() {
  const style = getComputedStyle(document.documentElement);
  const names = ["raised", "muted", "rule", "edge", "valence", "arousal"];
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  return { ...Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])), veilStrong: dark ? "rgba(20,22,26,.62)" : "rgba(251,250,247,.66)" };
}
