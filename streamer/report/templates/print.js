// On paper: every figure that stands open, at the paper's width, in the light theme. Folded tracks and settings are left out.
const PAPER = {
  circumplex: { width: 244, height: 250 }, timeline: { width: 432, height: 330 },
  presence: { width: 680 }, difference: { width: 680, height: 190 },
};
let closed = [];
let printing = false;

window.addEventListener("beforeprint", () => {
  if (printing) return;
  printing = true;
  root.dataset.print = "";
  closed = [...document.querySelectorAll("details.short:not([open])")];
  closed.forEach((fold) => { fold.open = true; });
  plots.filter((plot) => !plot.closest("details:not([open]), [hidden]")).forEach((plot) => draw(plot, PAPER[plot.dataset.kind]));
});
window.addEventListener("afterprint", () => {
  printing = false;
  delete root.dataset.print;
  closed.forEach((fold) => { fold.open = false; });
  again([...drawn]);
});
