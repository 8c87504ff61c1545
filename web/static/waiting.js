// News that would move rows waits while somebody is in a list, with the pointer, a finger or the keyboard: a click must
// never land on another row's button. A button shows it; so does leaving the list.

import { focusHeading, ROW, showAll, showInPlace, still } from "./panels.js";

const LOOK_MS = 250;
const LOOKS = 2; // so that the pointer can go from the list to the button
const TOUCHED_MS = 1_000; // after a finger has left the list or has scrolled it
const AIMED_MS = 500; // a tap or a second click so soon was meant for what was there before
const AIMED_PIXELS = 8;

export class Waiting {
  #place = document.createElement("div");
  #page = null;
  #list = null;
  #timer = 0;
  #looks = 0;
  #isPressed = false;
  #isTouch = false;
  #touchedAt = 0;
  #movedAt = 0;
  #click = { at: 0 };

  constructor() {
    this.#place.className = "news";
    this.#place.role = "status";
    document.getElementById("main")?.before(this.#place);
    this.#place.addEventListener("click", () => this.#showNow());
    addEventListener("pointerdown", (event) => this.#press(event), { capture: true, passive: true });
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => this.#lift(), { capture: true });
    addEventListener("scroll", () => this.#isTouch && this.#touch(), { capture: true, passive: true });
    addEventListener("click", (event) => this.#refuseMisled(event), { capture: true });
  }

  // Shows the page; what somebody did themself at once, whatever they point at.
  show(page, { isOwn }) {
    if (isOwn || !this.#isHeld()) this.#showAll(page);
    else this.#showInPlace(page);
  }

  #showAll(page) {
    clearInterval(this.#timer);
    this.#page = null;
    this.#place.replaceChildren();
    const before = placesOf();
    showAll(page);
    if (placesOf() !== before) this.#movedAt = Date.now();
  }

  #showInPlace(page) {
    let waits = [];
    const row = rowInHand();
    still(row, () => (waits = showInPlace(page)));
    this.#list = row?.closest("[data-live]") ?? this.#list;
    clearInterval(this.#timer);
    this.#page = waits.length ? page : null;
    this.#say(wordsFor(waits));
    this.#looks = 0;
    if (this.#page) this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  #say(text) {
    const shown = this.#place.querySelector("button");
    if (!text) this.#place.replaceChildren();
    else if (!shown) this.#place.append(button(text));
    else if (shown.textContent !== text) shown.textContent = text;
  }

  #look() {
    this.#looks = this.#isHeld() ? 0 : this.#looks + 1;
    if (this.#looks >= LOOKS) this.#showAll(this.#page);
  }

  #showNow() {
    if (!this.#page) return;
    this.#showAll(this.#page);
    const list = this.#list?.isConnected ? this.#list : document.querySelector(ROW)?.closest("[data-live]");
    if (list) focusHeading(list);
  }

  #isHeld() {
    if (this.#isPressed || Date.now() - this.#touchedAt < TOUCHED_MS) return true;
    return Boolean(rowInHand(this.#isTouch) ?? inHand(".news button", this.#isTouch));
  }

  #press({ pointerType, target }) {
    this.#isTouch = pointerType === "touch";
    this.#isPressed = Boolean(target.closest?.(ROW));
  }

  #lift() {
    if (this.#isPressed && this.#isTouch) this.#touch();
    this.#isPressed = false;
  }

  #touch() {
    this.#touchedAt = Date.now();
  }

  // Nobody can have read what a list says that has only just moved under the finger.
  #refuseMisled(event) {
    const { clientX, clientY, target, detail } = event;
    const row = target.closest?.(ROW)?.id;
    const [before, now] = [this.#click, Date.now()];
    if (detail) this.#click = { at: now, clientX, clientY, row };
    if (!detail || !row) return;
    const isTapAfterMove = this.#isTouch && now - this.#movedAt < AIMED_MS;
    const isSecond = now - before.at < AIMED_MS && Math.hypot(clientX - before.clientX, clientY - before.clientY) < AIMED_PIXELS;
    if (!isTapAfterMove && !(isSecond && before.row && before.row !== row)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}

// The row that is pointed at, or that has the keyboard's focus; a focus that a click has left behind is none.
function rowInHand(isTouch = false) {
  return inHand(ROW, isTouch);
}

function inHand(selector, isTouch) {
  const focused = document.activeElement?.matches(":focus-visible") ? document.activeElement.closest(selector) : null;
  const canPoint = !isTouch && matchMedia("(hover: hover)").matches;
  return focused ?? (canPoint ? document.querySelector(`:is(${selector}):hover`) : null);
}

function button(text) {
  return Object.assign(document.createElement("button"), { type: "button", className: "primary", textContent: text });
}

const placesOf = () => [...document.querySelectorAll(ROW)].map((row) => `${row.id} ${Math.round(row.getBoundingClientRect().top)}`).join();

function wordsFor(waits) {
  if (waits.length === 0) return "";
  for (const [kind, noun] of [["alert-", "alert"], ["session-", "session"]]) {
    const count = new Set(waits.filter(({ id, isNew }) => isNew && id.startsWith(kind)).map(({ id }) => id)).size;
    if (count) return `${count} new ${noun}${count === 1 ? "" : "s"}`;
  }
  return `${waits.length} change${waits.length === 1 ? "" : "s"}`;
}
