// Choosing a track or an expression: both figures, the lanes, the table and the list of moments follow.
const EXPRESSIONS = ["Neutral", "Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise"];

function choiceOf(section) {
  const chosen = (name) => section?.querySelector(`[data-filter=${name}]`)?.value ?? "";
  const expression = chosen("expression");
  return { track: chosen("track"), expression: expression === "" ? null : Number(expression) };
}

function choiceFor(plot) {
  return choiceOf(plot.closest("[data-source]"));
}

// The figure with only what belongs to the choice left in it.
function narrowed(figure, choice) {
  const { columns } = figure;
  let data = figure.data;
  const points = data.find((trace) => trace.meta === "points");
  if (points) {
    const keep = columns.t.map((_, k) => k)
      .filter((k) => choice.expression === null || columns.code[k] === choice.expression);
    for (const name of ["v", "a", "t", "code"]) columns[name] = keep.map((k) => columns[name][k]);
    columns.clock = columns.t.map(clock);
    points.customdata = "@clock";
    return { ...figure, data };
  }
  if (figure.lanes && choice.track !== "") {
    const lane = figure.lanes.indexOf(choice.track);
    for (const bar of data) {
      const fields = [bar.base, bar.x, bar.y, bar.customdata].map((name) => name.slice(1));
      const lanes = columns[bar.y.slice(1)];
      for (const field of fields) columns[field] = columns[field].filter((_, k) => lanes[k] === lane);
    }
  }
  if (choice.expression === null) return { ...figure, data };
  const bar = data.find((trace) => trace.type === "bar" && trace.meta === choice.expression);
  for (const line of data.filter((trace) => trace.meta === "line"))
    columns[line.y.slice(1)] = within(columns[line.x.slice(1)], columns[line.y.slice(1)], bar && {
      from: columns[bar.base.slice(1)], long: columns[bar.x.slice(1)],
    });
  data = data.filter((trace) => trace.meta === choice.expression || trace.meta === "line");
  return { ...figure, data };
}

// The values of a line at times inside the bars, nothing elsewhere. Bars and times are in order.
function within(times, values, bars) {
  if (!bars) return values.map(() => null);
  let k = 0;
  return values.map((value, i) => {
    while (k < bars.from.length && bars.from[k] + bars.long[k] <= times[i]) k += 1;
    return k < bars.from.length && bars.from[k] <= times[i] ? value : null;
  });
}

function apply(section) {
  const choice = choiceOf(section);
  const name = choice.expression === null ? "" : EXPRESSIONS[choice.expression] ?? "no label";
  for (const part of section.querySelectorAll(".track[data-track]"))
    part.hidden = choice.track !== "" && part.dataset.track !== choice.track;
  if (choice.track !== "") {
    const only = section.querySelector(`details.track[data-track="${choice.track}"]`);
    if (only) only.open = true;
  }
  for (const row of section.querySelectorAll("tr[data-track]"))
    row.hidden = choice.track !== "" && row.dataset.track !== choice.track;
  for (const list of section.querySelectorAll(".moments ol")) {
    for (const item of list.children) {
      const fits = name === "" || item.dataset.expressions.split(" ").includes(name);
      item.hidden = !fits || (choice.track !== "" && item.dataset.track !== choice.track);
    }
    list.nextElementSibling.hidden = [...list.children].some((item) => !item.hidden);
  }
  section.querySelector("button[data-filter]").disabled = choice.track === "" && name === "";
  again([...section.querySelectorAll(".plot")]);
  for (const article of section.querySelectorAll("[data-pointed]")) point(article, pointed.get(article), false);
}

function showAll(section) {
  section.querySelectorAll("select[data-filter]").forEach((select) => { select.value = ""; });
  apply(section);
}

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-filter]")) apply(event.target.closest("[data-source]"));
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-filter]");
  if (!button) return;
  const section = button.closest("[data-source]");
  showAll(section);
  section.querySelector("select[data-filter]").focus();
});
