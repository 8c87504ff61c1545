// The stream of the server's events, kept open: connected again after every loss.

const SILENCE_MS = 100_000; // the server says something every minute
const RETRY_FIRST_MS = 1_000;
const RETRY_LONGEST_MS = 30_000;
const POLLS_BETWEEN_TRIES = 4;
const RECONNECT_GAP_MS = 500; // all pages of a browser learn at once that it is online again

export class Stream {
  #url;
  #tell;
  #source = null;
  #news = null;
  #pollSeconds = 0;
  #openedAt = 0;
  #lastEventAt = 0;
  #retryMs = RETRY_FIRST_MS;
  #retryTimer = 0;
  #watchTimer = 0;

  // `tell` is called with "changed" when something may have changed, "lost" when from now on changes may be missed,
  // "polls" and a number of seconds when the server has no stream to spare, so that pages are to refresh that often, and
  // "refused" when the server's answer was no stream, as after the sign-in has ended.
  constructor(url, tell) {
    this.#url = url;
    this.#tell = tell;
  }

  get isOpen() {
    return this.#source !== null;
  }

  // "changed" while changes are announced, "polls" while pages refresh instead, "lost" while changes may be missed; null
  // before any of it is known.
  get news() {
    return this.#news;
  }

  get pollSeconds() {
    return this.#pollSeconds;
  }

  open() {
    this.close();
    this.#connect();
    this.#watchTimer = setInterval(() => this.#watch(), 5_000);
  }

  close() {
    this.#source?.close();
    this.#source = null;
    this.#news = null;
    clearTimeout(this.#retryTimer);
    clearInterval(this.#watchTimer);
  }

  // For when there is reason to believe that the connection is dead, or could be had again.
  reconnect() {
    if (!this.isOpen) return;
    if (Date.now() - this.#openedAt >= RECONNECT_GAP_MS) {
      this.#take("lost");
      this.#connect();
    } else if (this.#news) {
      this.#tell(this.#news, this.#pollSeconds);
    }
  }

  #connect() {
    clearTimeout(this.#retryTimer);
    this.#source?.close();
    this.#openedAt = this.#lastEventAt = Date.now();
    this.#source = new EventSource(this.#url);
    for (const name of ["alerts", "sessions", "resync"]) this.#source.addEventListener(name, () => this.#take("changed"));
    this.#source.addEventListener("lost", () => this.#take("lost"));
    this.#source.addEventListener("poll", ({ data }) => this.#poll(JSON.parse(data).seconds));
    this.#source.addEventListener("error", () => this.#fail());
  }

  // The browser reconnects by itself, except after an answer that is no stream.
  #fail() {
    this.#take("lost");
    if (this.#source?.readyState !== EventSource.CLOSED) return;
    this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs * (0.75 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LONGEST_MS);
    this.#tell("refused");
  }

  // The server has as many streams as it may have: asked again later, by all who wait not at the same moment.
  #poll(seconds) {
    this.#source.close();
    this.#take("polls", seconds);
    const waitMs = 1_000 * seconds * POLLS_BETWEEN_TRIES;
    this.#retryTimer = setTimeout(() => this.#connect(), waitMs * (0.75 + Math.random() / 2));
  }

  #take(news, pollSeconds = 0) {
    this.#lastEventAt = Date.now();
    this.#news = news;
    this.#pollSeconds = pollSeconds;
    if (news === "changed") this.#retryMs = RETRY_FIRST_MS;
    this.#tell(news, pollSeconds);
  }

  // A connection can be dead without an error, as after a laptop's sleep.
  #watch() {
    if (Date.now() - this.#lastEventAt >= SILENCE_MS) this.reconnect();
  }
}
