// What only a script can do: pages that stay true while they are open, actions without a reload, times that
// count on. Every page works without it.

import { readCharts } from "./charts.js";
import { Events } from "./events.js";
import { signInLink, takeToken, watchForms } from "./forms.js";
import { Waiting } from "./waiting.js";

const REFRESH_GAP_MS = 500;
const RETRY_FIRST_MS = 2_000;
const RETRY_LONGEST_MS = 60_000;

const { events: eventsUrl, refresh: refreshSeconds } = document.body.dataset;
const status = document.getElementById("live");
const announcer = document.getElementById("announcer");

// Times

const UNITS = [[86_400, "day"], [3_600, "hour"], [60, "minute"], [1, "second"]];
const RELATIVE_SECONDS = 30 * 86_400;
const JUST_NOW_SECONDS = 10;

// As `ago` in web/views/presentation.py; null where the day stands instead, which doesn't change.
function ago(seconds) {
  if (seconds > RELATIVE_SECONDS || seconds < -60) return null;
  if (seconds < JUST_NOW_SECONDS) return "just now";
  const [size, unit] = UNITS.find(([size]) => seconds >= size);
  const count = Math.floor(seconds / size);
  return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
}

// The server writes times in this zone from the next page on, unless somebody chose another; so does it with this one
// where it didn't know yet.
function tellZone() {
  const { timeZone: zone } = Intl.DateTimeFormat().resolvedOptions();
  const told = `tutorwatch_zone=${zone}`;
  const isKnown = () => document.cookie.split("; ").includes(told);
  if (!zone || isKnown()) return;
  document.cookie = `${told}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  const { zone: shown } = document.body.dataset;
  if (shown && shown !== zone && isKnown()) location.reload();
}

tellZone();

// The server's clock may differ from this one: times count from its own.
let clockAheadMs = 0;

function setClock(asOf) {
  if (asOf) clockAheadMs = Date.parse(asOf) - Date.now();
}

function countOn() {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = ago((Date.now() + clockAheadMs - Date.parse(time.dateTime)) / 1000);
    if (text && time.textContent !== text) time.textContent = text;
  }
}

// What the header says about how true the page is

let trueAt = status?.dataset.asOfText;
let isSignedOut = false;

let isWell = true;

function say(text, { isLive = false, isStale = false }) {
  status?.classList.toggle("is-live", isLive);
  status?.classList.toggle("is-lost", !isLive);
  document.documentElement.classList.toggle("stale", isStale);
  if (status && status.textContent !== text) status.textContent = text;
}

// The page is as the server knows it; whether that is all there is to know, the server said along with it.
function sayFresh() {
  if (events.pollSeconds) say(`${isWell ? "Refreshes" : "Not all up to date, refreshes"} every ${events.pollSeconds} s`, {});
  else if (isWell) say("Live", { isLive: true });
  else say("Not all up to date", {});
}

function sayLost() {
  if (status?.querySelector("a")) return;
  say(isSignedOut ? `Signed out, list as of ${trueAt}` : `Reconnecting… list as of ${trueAt}`, { isStale: true });
  if (isSignedOut) status?.append(" ", signInLink());
}

// Refreshing: the page is fetched again, and what is marked live is brought up to date in place

let isRefreshing = false;
let isWanted = false;
let refreshedAt = 0;
let timer = 0;
let retryMs = RETRY_FIRST_MS;
let pollTimer = 0;

// At once, unless it was just done; any number of calls meanwhile make one more.
function refreshSoon(waitMs = 0) {
  isWanted = true;
  if (isRefreshing || isSignedOut) return;
  clearTimeout(timer);
  timer = setTimeout(refresh, Math.max(waitMs, refreshedAt + REFRESH_GAP_MS - Date.now()));
}

async function refresh() {
  isRefreshing = true;
  isWanted = false;
  refreshedAt = Date.now();
  const isFresh = await fetchPage().then(show, () => false);
  isRefreshing = false;
  if (isFresh && (events.isConnected || events.pollSeconds)) sayFresh();
  if (!isFresh) sayLost();
  const waitMs = retryMs;
  retryMs = isFresh ? RETRY_FIRST_MS : Math.min(retryMs * 2, RETRY_LONGEST_MS);
  if (isWanted) refreshSoon();
  else if (!isFresh) refreshSoon(waitMs);
}

// Where the server has no stream to spare, until it has.
function poll() {
  clearTimeout(pollTimer);
  if (!events.pollSeconds) return;
  pollTimer = setTimeout(poll, events.pollSeconds * 1_000);
  refreshSoon();
}

async function fetchPage() {
  const response = await fetch(location.href, {
    headers: { Accept: "text/html" },
    cache: "no-store",
    redirect: "manual", // a proxy that signs in may lead to another site, where a script can't follow
    signal: AbortSignal.timeout(10_000),
  });
  if (response.type === "opaqueredirect" && !isSignedOut) signedOut();
  if (!response.ok) throw new Error(`Answered ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

const waiting = new Waiting();
let actedAt = 0;

// What is shown is as of `refreshedAt`: with what was done before then.
function show(page) {
  if (page.body.dataset.viewer !== document.body.dataset.viewer) return location.reload();
  takeToken(page);
  if (isSignedOut) events?.start();
  isSignedOut = false;
  const isOwn = actedAt > 0 && refreshedAt >= actedAt;
  if (isOwn) actedAt = 0;
  waiting.show(page, { isOwn });
  announce(page.title);
  const fresh = page.getElementById("live")?.dataset ?? {};
  trueAt = fresh.asOfText ?? trueAt;
  isWell = fresh.isWell !== "false";
  setClock(fresh.asOf);
  countOn();
  return true;
}

function announce(title) {
  if (title === document.title) return;
  document.title = title;
  const count = /^\((\d+)\)/.exec(title)?.[1] ?? "No";
  announcer.textContent = `${count} critical ${count === "1" ? "alert" : "alerts"}`;
}

// Actions

function acted({ isDone }) {
  if (isDone) actedAt = Date.now();
  if (isSignedOut && isDone) comeBack();
  else refreshSoon();
}

function signedOut() {
  isSignedOut = true;
  events?.stop();
  sayLost();
}

// Somebody may have signed in again, in another tab.
function comeBack() {
  if (isSignedOut && !isRefreshing && document.visibilityState === "visible") refresh();
}

// Life

const events = eventsUrl && new Events(eventsUrl, { changed: refreshSoon, lost: sayLost, polls: poll, refused: refreshSoon });

watchForms({ acted, signedOut, fetchPage });
setClock(status?.dataset.asOf);
countOn();
setInterval(countOn, 1_000);
readCharts();

if (events) {
  events.start();
  if (refreshSeconds) setInterval(() => events.isConnected && refreshSoon(), refreshSeconds * 1_000);
  window.addEventListener("offline", () => events.reconnect());
  window.addEventListener("online", () => events.reconnect());
  window.addEventListener("pagehide", () => events.stop());
  window.addEventListener("focus", comeBack);
  document.addEventListener("visibilitychange", comeBack);
  window.addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
}
