// The parts of a page that are brought up to date while it is open, each as it is in a fresh copy of the page.

import { markGone, morph } from "./morph.js";

const PANEL = "[data-live][id]";
export const ROW = "[data-live] :is(li, tr)[id]";

// Everything as it is in the fresh page.
export function showAll(page) {
  const focused = document.activeElement;
  const panel = focused?.closest("[data-live]");
  for (const shown of document.querySelectorAll(PANEL)) {
    if (!page.getElementById(shown.id)) shown.remove();
  }
  for (const fresh of page.querySelectorAll(PANEL)) {
    const shown = document.getElementById(fresh.id);
    if (shown) morph(shown, fresh);
    else place(fresh);
  }
  document.getElementById("main").style.marginBlockStart = "";
  if (panel?.isConnected && !focused.isConnected) focusHeading(panel);
}

// Only what moves no row: words, states and counts. Returns what waits: the rows and panels that are new, gone or
// elsewhere, each as its `id`, and whether it `isNew`.
export function showInPlace(page) {
  const waits = [];
  for (const fresh of page.querySelectorAll(PANEL)) {
    const shown = document.getElementById(fresh.id);
    const moved = shown ? moves(shown, fresh) : [{ id: fresh.id, isNew: false }];
    if (moved.length === 0) morph(shown, fresh);
    else if (shown) showRows(shown, fresh);
    waits.push(...moved);
  }
  for (const { id } of document.querySelectorAll(PANEL)) {
    if (!page.getElementById(id)) waits.push({ id, isNew: false });
  }
  return waits;
}

// Does it without moving the row on the screen, whatever grows or shrinks above it.
export function still(row, change) {
  const top = row?.getBoundingClientRect().top;
  change();
  if (!row?.isConnected) return;
  scrollBy({ top: row.getBoundingClientRect().top - top, behavior: "instant" });
  const main = document.getElementById("main");
  for (let tries = 0; tries < 3; tries++) {
    // Where the page can't be scrolled so far; a page that becomes shorter by it may scroll back.
    const rest = row.getBoundingClientRect().top - top;
    if (Math.abs(rest) < 1) return;
    main.style.marginBlockStart = `${(parseFloat(main.style.marginBlockStart) || 0) - rest}px`;
  }
}

export function focusHeading(panel) {
  const heading = panel.querySelector("h2") ?? panel;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

// A panel that wasn't there before: after the one it follows in the fresh page.
function place(fresh) {
  for (let before = fresh.previousElementSibling; before; before = before.previousElementSibling) {
    const shown = before.id && document.getElementById(before.id);
    if (shown) {
      shown.after(document.importNode(fresh, true));
      return;
    }
  }
}

const idsOf = (panel) => [...panel.querySelectorAll(":is(li, tr)[id]:not(.gone)")].map(({ id }) => id);

function moves(shown, fresh) {
  const [before, after] = [idsOf(shown), idsOf(fresh)];
  const stay = new Set(longestInOrder(before, after));
  const [known, wanted] = [new Set(before), new Set(after)];
  return [
    ...after.filter((id) => !known.has(id)).map((id) => ({ id, isNew: true })),
    ...before.filter((id) => !wanted.has(id) || !stay.has(id)).map((id) => ({ id, isNew: false })),
  ];
}

// As many as possible of those in both lists, in an order that both have: the others change place.
function longestInOrder(before, after) {
  const places = new Map(after.map((id, index) => [id, index]));
  const runs = [];
  for (const id of before.filter((each) => places.has(each))) {
    const earlier = runs.filter((run) => places.get(run.at(-1)) < places.get(id));
    const longest = earlier.reduce((best, run) => (run.length > best.length ? run : best), []);
    runs.push([...longest, id]);
  }
  return runs.reduce((best, run) => (run.length > best.length ? run : best), []);
}

function showRows(shown, fresh) {
  const rows = new Map([...fresh.querySelectorAll(":is(li, tr)[id]")].map((row) => [row.id, row]));
  for (const row of shown.querySelectorAll(":is(li, tr)[id]:not(.gone)")) {
    if (rows.has(row.id)) morph(row, rows.get(row.id));
    else markGone(row);
  }
  const [heading, freshHeading] = [shown.querySelector("h2"), fresh.querySelector("h2")];
  if (heading && freshHeading) morph(heading, freshHeading);
}
