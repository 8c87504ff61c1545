// Forms that are sent without leaving the page: what came of it is said where it was done, and what was typed stays,
// also when the sign-in ends in the middle.

const DRAFTS = "drafts";

const flash = document.getElementById("flash");
const viewer = () => document.body.dataset.viewer;

// `acted` is called when something was done, `signedOut` when nobody is signed in any more, and `fetchPage` gives the page
// as it is now, or throws.
export function watchForms({ acted, signedOut, fetchPage }) {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-action]")) return;
    event.preventDefault();
    if (!form.querySelector("[aria-busy]")) act(form, { acted, signedOut, fetchPage });
  });
  document.addEventListener("click", ({ target }) => {
    if (target.closest?.('a[href^="/sign-in"]')) keepDrafts();
    if (target.closest?.(".dismiss")) flash.replaceChildren();
  });
  document.addEventListener("toggle", ({ target }) => target.matches?.(".resolve[open]") && opened(target), { capture: true });
  document.addEventListener("keydown", (event) => event.key === "Escape" && close(event.target));
  restoreDrafts();
}

// Has all forms carry the token of the page, which is another one after another sign-in. False if it is the same.
export function takeToken(page) {
  const fresh = page.querySelector("input[name=csrf_token]")?.value;
  const shown = [document, document.getElementById("undo")?.content].flatMap((root) =>
    root ? [...root.querySelectorAll("input[name=csrf_token]")] : [],
  );
  const isOther = Boolean(fresh) && shown.some((input) => input.value !== fresh);
  if (isOther) for (const input of shown) input.value = fresh;
  return isOther;
}

async function act(form, { acted, signedOut, fetchPage }) {
  const button = form.querySelector("button");
  button.setAttribute("aria-busy", "true");
  const answer = await send(form, fetchPage);
  button.removeAttribute("aria-busy");
  tellProblems(form, answer);
  if (answer.isSignedOut) signedOut();
  if (!answer.trouble) {
    finish(form);
    say(answer);
  }
  acted({ isDone: !answer.trouble });
}

// What the server says was done; or `trouble`: what went wrong, in words, with the `errors` of fields.
async function send(form, fetchPage, isSecond = false) {
  let response;
  try {
    response = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(new FormData(form)),
      signal: AbortSignal.timeout(15_000),
    });
  } catch {
    return { trouble: "Not sent: the server can't be reached. Try again." };
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) return { trouble: "Your sign-in has ended; nothing was done. What you wrote stays here.", isSignedOut: true };
  if (response.status === 403 && !isSecond && (await isRenewed(fetchPage))) return send(form, fetchPage, true);
  const trouble = answer.detail ?? answer.title ?? "That did not work. Reload the page and try again.";
  return { trouble, errors: answer.errors ?? [] };
}

// Whether the same person has signed in anew meanwhile, in another tab: then the forms here work again.
async function isRenewed(fetchPage) {
  const page = await fetchPage().catch(() => null);
  return page !== null && page.body.dataset.viewer === viewer() && takeToken(page);
}

// What is wrong with a field stands below it, all else below the form.
function tellProblems(form, { trouble = "", errors = [], isSignedOut = false }) {
  let isTold = false;
  for (const place of form.querySelectorAll('[data-problem]:not([data-problem=""])')) {
    const wrong = errors.find(({ field }) => field === place.dataset.problem);
    place.hidden = !wrong;
    place.textContent = wrong ? `${place.dataset.label}: ${wrong.message}.` : "";
    const fields = form.querySelectorAll(`[name="${place.dataset.problem}"]`);
    for (const field of fields) field.removeAttribute("aria-invalid");
    if (!wrong) continue;
    for (const field of fields) field.setAttribute("aria-invalid", "true");
    if (!isTold) fields[0]?.focus();
    isTold = true;
  }
  const rest = form.querySelector('[data-problem=""]');
  rest.hidden = !trouble || isTold;
  rest.textContent = rest.hidden ? "" : trouble;
  if (isSignedOut) rest.append(" ", signInLink());
}

export function signInLink() {
  const link = document.createElement("a");
  link.href = `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
  link.textContent = "Sign in";
  return link;
}

// As the page itself says it to those without a script, but where it moves nothing and is seen wherever they are.
function say({ text, undo }) {
  if (!text) return;
  const toast = document.createElement("div");
  const said = document.createElement("p");
  const dismiss = document.createElement("button");
  toast.className = "toast";
  said.className = "flash done";
  said.textContent = text;
  dismiss.type = "button";
  dismiss.className = "quiet dismiss";
  dismiss.textContent = "Dismiss";
  toast.append(said);
  if (undo) {
    const form = document.getElementById("undo").content.cloneNode(true);
    form.querySelector("form").action = undo;
    toast.append(form);
  }
  toast.append(dismiss);
  flash.replaceChildren(toast);
}

function finish(form) {
  const hadFocus = form.contains(document.activeElement);
  const details = opener(form);
  if (details) details.open = false;
  form.reset();
  // The button is about to go: the focus stays near for those who use the keyboard.
  if (hadFocus) (form.closest("li")?.querySelector("summary") ?? form.querySelector("textarea"))?.focus();
}

// What opens the form in a row.
function opener(element) {
  return element.closest?.("li")?.querySelector(".resolve");
}

function opened(details) {
  for (const other of document.querySelectorAll(".resolve[open]")) other.open = other === details; // for older browsers
  const form = details.closest("li").querySelector(".resolve-form");
  form.querySelector("textarea").focus();
  form.scrollIntoView({ block: "nearest" });
}

function close(element) {
  const details = opener(element);
  if (!details?.open) return;
  details.open = false;
  details.querySelector("summary").focus();
}

// What was typed, kept in this tab while its person signs in again: put back for them, and for nobody else.
function keepDrafts() {
  const forms = [...document.querySelectorAll("form[data-action]")].filter((form) =>
    [...form.querySelectorAll("textarea")].some((field) => field.value.trim()),
  );
  const typed = forms.map((form) => {
    const fields = [...new FormData(form)].filter(([name]) => name !== "csrf_token" && name !== "return_to");
    return { action: form.getAttribute("action"), fields };
  });
  if (typed.length) sessionStorage.setItem(DRAFTS, JSON.stringify({ viewer: viewer(), typed }));
}

function restoreDrafts() {
  if (!viewer()) return;
  const { viewer: writer, typed } = JSON.parse(sessionStorage.getItem(DRAFTS) ?? "{}");
  sessionStorage.removeItem(DRAFTS);
  if (writer !== viewer()) return;
  for (const { action, fields } of typed) {
    const form = document.querySelector(`form[data-action][action="${CSS.escape(action)}"]`);
    if (form) fill(form, fields);
    else say({ text: `Not sent, and no longer on this page: ${fields.map(([, value]) => value).join(" · ")}` });
  }
}

function fill(form, fields) {
  const details = opener(form);
  if (details) details.open = true;
  for (const [name, value] of fields) {
    for (const field of form.querySelectorAll(`[name="${CSS.escape(name)}"]`)) {
      if (field.type === "radio" || field.type === "checkbox") field.checked = field.value === value;
      else field.value = value;
    }
  }
}
