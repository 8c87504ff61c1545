// Hears from the server that something changed. Browsers allow six connections to a server over HTTP/1.1, and an
// event stream takes one for as long as it is open: so of all pages of this browser one listens, and tells the rest.

const SILENCE_MS = 100_000; // the server says something every minute
const RETRY_FIRST_MS = 1_000;
const RETRY_LONGEST_MS = 30_000;

export class Events {
  #url;
  #heard;
  #lost;
  #refused;
  #stream = null;
  #hears = false;
  #heardAt = Date.now();
  #retryMs = RETRY_FIRST_MS;
  #retryTimer = 0;
  #stopListening = null;
  #pages = "BroadcastChannel" in window ? new BroadcastChannel("tutorwatch-events") : null;

  // `heard` is called when something may have changed, `lost` when from now on changes may be missed, and `refused`
  // when the server's answer was no stream, as after the sign-in has ended.
  constructor(url, { heard, lost, refused }) {
    this.#url = url;
    this.#heard = heard;
    this.#lost = lost;
    this.#refused = refused;
    this.#pages?.addEventListener("message", ({ data }) => this.#passOn(data));
  }

  get hears() {
    return this.#hears;
  }

  // Listens as soon as no other page does.
  start() {
    this.#pages?.postMessage("asks");
    if (!navigator.locks || !this.#pages) this.#connect();
    else navigator.locks.request("tutorwatch-events", () => this.#listenUntilStopped());
    setInterval(() => this.#watch(), 5_000);
  }

  stop() {
    this.#hears = false;
    this.#stream?.close();
    this.#stream = null;
    clearTimeout(this.#retryTimer);
    this.#stopListening?.();
    this.#stopListening = null;
  }

  // For when there is reason to believe that the connection is dead, or could be had again.
  reconnect() {
    this.#lose();
    if (this.#stream) this.#connect();
    else this.#pages?.postMessage("asks");
  }

  #listenUntilStopped() {
    return new Promise((resolve) => {
      this.#stopListening = resolve;
      this.#connect();
    });
  }

  #connect() {
    this.#stream?.close();
    this.#heardAt = Date.now();
    this.#stream = new EventSource(this.#url);
    for (const name of ["alerts", "resync"]) this.#stream.addEventListener(name, () => this.#tell("heard"));
    this.#stream.addEventListener("deaf", () => this.#tell("lost"));
    this.#stream.addEventListener("error", () => this.#fail());
  }

  // The browser reconnects by itself, except after an answer that is no stream.
  #fail() {
    this.#tell("lost");
    if (this.#stream?.readyState !== EventSource.CLOSED) return;
    this.#retryTimer = setTimeout(() => this.#connect(), this.#retryMs * (0.75 + Math.random() / 2));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LONGEST_MS);
    this.#refused();
  }

  #tell(news) {
    this.#pages?.postMessage(news);
    this.#take(news);
  }

  #passOn(news) {
    if (news !== "asks") this.#take(news);
    else if (this.#stream) this.#pages.postMessage(this.#hears ? "heard" : "lost");
  }

  #take(news) {
    this.#heardAt = Date.now();
    if (news === "lost") {
      this.#lose();
      return;
    }
    this.#hears = true;
    this.#retryMs = RETRY_FIRST_MS;
    this.#heard();
  }

  #lose() {
    this.#hears = false;
    this.#lost();
  }

  // A connection can be dead without an error, as after a laptop's sleep.
  #watch() {
    if (Date.now() - this.#heardAt < SILENCE_MS) return;
    this.#heardAt = Date.now();
    this.reconnect();
  }
}
