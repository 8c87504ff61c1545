// One stream for all pages of a browser that are looked at, where there are no shared workers: the page that holds it
// passes its news on, and another takes over when that page goes.

import { Stream } from "./stream.js";

const BEAT_MS = 1_000;
const SILENCE_MS = 4_000; // without a beat: the page that held the stream is gone
const ANSWER_MS = 300; // how long whoever holds it may take to say so

export class SharedStream {
  #url;
  #tell;
  #stream;
  #id = Math.random();
  #channel = null;
  #silentFrom = 0;
  #timers = [];

  // As of a `Stream`.
  constructor(url, tell) {
    this.#url = url;
    this.#tell = tell;
    this.#stream = new Stream(url, (...news) => {
      this.#say("news", { news });
      tell(...news);
    });
  }

  open() {
    this.close();
    this.#channel = new BroadcastChannel(`stream ${this.#url}`);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#timers = [setInterval(() => this.#beat(), BEAT_MS)];
    this.#say("asks");
    this.#expectAnswer();
  }

  close() {
    this.#timers.forEach((timer) => clearTimeout(timer));
    if (this.#stream.isOpen) {
      this.#stream.close();
      this.#say("leaves");
    }
    this.#channel?.close();
    this.#channel = null;
  }

  // For when there is reason to believe that the connection is dead, or could be had again.
  reconnect() {
    if (this.#stream.isOpen) this.#stream.reconnect();
    else this.#say("asks");
  }

  #say(kind, more = {}) {
    this.#channel?.postMessage({ kind, id: this.#id, ...more });
  }

  // Not all at the same moment.
  #expectAnswer() {
    const waitMs = ANSWER_MS * (1 + Math.random());
    this.#silentFrom = Date.now() + waitMs;
    this.#timers.push(setTimeout(() => this.#beat(), waitMs + 1));
  }

  #beat() {
    if (this.#stream.isOpen) this.#say("beats");
    else if (Date.now() >= this.#silentFrom) this.#stream.open();
  }

  #hear({ kind, id, news, to }) {
    if (kind === "asks") {
      if (this.#stream.isOpen) this.#say("news", { news: [this.#stream.news ?? "lost", this.#stream.pollSeconds], to: id });
    } else if (kind === "leaves") {
      if (!this.#stream.isOpen) this.#expectAnswer();
    } else if (this.#stream.isOpen) {
      if (id < this.#id) this.#stream.close(); // two took over at once: one yields
    } else {
      this.#silentFrom = Date.now() + SILENCE_MS;
      if (kind === "news" && (!to || to === this.#id)) this.#tell(...news);
    }
  }
}
