// Brings an element up to date in place. Nodes that stay keep their identity, and with it the focus, what was
// typed, what is open, and how far they are scrolled.

// `open` belongs to the person in front of the page, as does what a script says there.
const THEIRS = new Set(["open", "aria-busy"]);
const KEPT = "[data-problem]";

export function morph(shown, fresh) {
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.nodeValue !== fresh.nodeValue) shown.nodeValue = fresh.nodeValue;
    return;
  }
  if (shown.matches(KEPT) || shown.isEqualNode(fresh)) return;
  morphAttributes(shown, fresh);
  morphChildren(shown, fresh);
}

function morphAttributes(shown, fresh) {
  for (const { name } of [...shown.attributes]) {
    if (!fresh.hasAttribute(name) && !THEIRS.has(name)) shown.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (!THEIRS.has(name) && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  }
}

function morphChildren(shown, fresh) {
  const wantedIds = new Set([...fresh.children].map((child) => child.id));
  const isLeft = (node) => Boolean(node?.id) && !wantedIds.has(node.id);
  for (const child of [...shown.children]) {
    if (isLeft(child)) dismiss(child);
  }
  const known = new Map([...shown.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = shown.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    while (isLeft(place)) place = place.nextSibling;
    const match = wanted.id ? known.get(wanted.id) : alike(place, wanted);
    if (!match) shown.insertBefore(arriving(wanted), place);
    else if (match === place) place = place.nextSibling;
    else move(shown, match, place);
    if (match) morph(match, wanted);
  }
  while (place) {
    const next = place.nextSibling;
    if (!isLeft(place)) dismiss(place);
    place = next;
  }
}

// Nodes without an id are told apart by their place and kind.
function alike(place, wanted) {
  const isAlike = place && !place.id && place.nodeType === wanted.nodeType && place.nodeName === wanted.nodeName;
  return isAlike ? place : null;
}

// Where the browser can, without taking the focus away.
function move(parent, node, place) {
  if (parent.moveBefore) parent.moveBefore(node, place);
  else parent.insertBefore(node, place);
}

function arriving(fresh) {
  const node = document.importNode(fresh, true);
  if (node.nodeType !== Node.ELEMENT_NODE) return node;
  for (const row of [node, ...node.querySelectorAll("li[id]")]) {
    if (row.nodeName === "LI") row.classList.add("arrives");
  }
  return node;
}

// What somebody is writing stays until they are done with it, even if what it is about is gone.
function dismiss(node) {
  if (!holdsWork(node)) {
    node.remove();
    return;
  }
  for (const row of node.matches("li[id]") ? [node] : node.querySelectorAll("li[id]")) {
    if (!holdsWork(row)) row.remove();
    else markGone(row);
  }
}

function holdsWork(node) {
  const fields = node.nodeType === Node.ELEMENT_NODE ? node.querySelectorAll("li:has(.resolve[open]) textarea") : [];
  return [...fields].some((field) => field.value.trim());
}

// Says so of a row in which somebody is writing; of another there is nothing to say.
export function markGone(row) {
  if (row.classList.contains("gone") || !holdsWork(row)) return;
  const note = document.createElement("p");
  note.className = "gone-note";
  note.textContent = "No longer on this list: somebody was faster. What you wrote is kept until you close it.";
  row.classList.add("gone");
  row.append(note);
}
