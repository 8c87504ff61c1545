// Reads the values of charts out, a day at a time: by the slider below each, with the keyboard or a finger, and where
// the pointer is. Without a script there is the table, and what the browser shows of a day under the pointer.

const root = document.documentElement;

function read(chart) {
  const slider = chart.querySelector(".reader input");
  if (!slider) return;
  const days = [...chart.querySelectorAll("rect.day")];
  const shown = nearest(days, Number(slider.value), Number(slider.dataset.at ?? slider.value));
  const text = shown.querySelector("title").textContent;
  slider.value = slider.dataset.at = shown.dataset.day;
  slider.setAttribute("aria-valuetext", text);
  const reading = chart.querySelector(".reading");
  if (reading.textContent !== text) reading.textContent = text;
  for (const day of days) {
    if (day.classList.contains("is-read") !== (day === shown)) day.classList.toggle("is-read");
  }
}

// The slider stops at days of which there is something to tell: the next one in the direction in which it was moved.
function nearest(days, wanted, before) {
  const from = (day) => Math.abs(Number(day.dataset.day) - wanted);
  const ahead = days.filter(({ dataset: { day } }) => Math.sign(day - before) === Math.sign(wanted - before));
  return (ahead.length ? ahead : days).reduce((best, day) => (from(day) < from(best) ? day : best));
}

function point({ target, clientX }) {
  const chart = target.closest?.("figure:has(.reader)");
  const plot = target.closest?.("svg.chart")?.getBoundingClientRect();
  if (!chart || !plot) return;
  const at = ({ x, width }) => Math.abs(x.baseVal.value + width.baseVal.value / 2 - ((clientX - plot.x) / plot.width) * 360);
  const days = [...chart.querySelectorAll("rect.day")];
  const slider = chart.querySelector(".reader input");
  slider.value = slider.dataset.at = days.reduce((best, day) => (at(day) < at(best) ? day : best)).dataset.day;
  read(chart);
}

const charts = () => document.querySelectorAll(".charts figure");

export function readCharts() {
  const trend = document.getElementById("trend");
  if (!trend) return;
  root.classList.add("reads-charts");
  charts().forEach(read);
  // What was read stays so when the chart is brought up to date.
  new MutationObserver(() => charts().forEach(read)).observe(trend, { subtree: true, childList: true, attributeFilter: ["class"] });
  trend.addEventListener("input", ({ target }) => read(target.closest("figure")));
  for (const name of ["pointermove", "pointerdown"]) trend.addEventListener(name, point);
}

// On paper there is no opening the table.
addEventListener("beforeprint", () => {
  for (const table of document.querySelectorAll("#trend details:not([open])")) {
    table.open = true;
    addEventListener("afterprint", () => (table.open = false), { once: true });
  }
});
