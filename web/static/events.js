// Learns from the server that something changed. Browsers allow six connections to a server over HTTP/1.1, and an
// event stream takes one for as long as it is open: so one worker holds it for all pages of this browser. Where there
// are no shared workers (some phones), the pages that are looked at share one.

import { SharedStream } from "./shared-stream.js";

const WORKER = new URL("./events-worker.js", import.meta.url);
const SILENCE_MS = 120_000; // longer than the worker waits for the server

export class Events {
  #url;
  #changed;
  #lost;
  #refused;
  #polls;
  #worker = null;
  #stream = null;
  #isConnected = false;
  #pollSeconds = 0;
  #lastEventAt = 0;
  #watchTimer = 0;

  // `changed` is called when something may have changed, `lost` when from now on changes may be missed, `polls` when the
  // server has no stream to spare and the page is to refresh every `pollSeconds` instead, and `refused` when the server's
  // answer was no stream, as after the sign-in has ended.
  constructor(url, { changed, lost, polls, refused }) {
    this.#url = url;
    this.#changed = changed;
    this.#lost = lost;
    this.#refused = refused;
    this.#polls = polls;
  }

  get isConnected() {
    return this.#isConnected;
  }

  // 0 unless the page is to refresh by itself.
  get pollSeconds() {
    return this.#pollSeconds;
  }

  start() {
    if ("SharedWorker" in window) this.#share();
    else this.#listenHere();
  }

  stop() {
    this.#isConnected = false;
    this.#pollSeconds = 0;
    this.#leave();
    this.#stream?.close();
    document.removeEventListener("visibilitychange", this.#listenWhileVisible);
  }

  // For when there is reason to believe that the connection is dead, or could be had again.
  reconnect() {
    this.#lose();
    this.#worker?.port.postMessage("reconnect");
    this.#stream?.reconnect();
  }

  #share() {
    this.#lastEventAt = Date.now();
    this.#worker = new SharedWorker(WORKER, { type: "module", name: this.#url });
    this.#worker.port.onmessage = ({ data }) => this.#take(...data);
    this.#worker.onerror = () => this.#listenHere();
    this.#watchTimer = setInterval(() => this.#watch(), 5_000);
  }

  #leave() {
    clearInterval(this.#watchTimer);
    if (!this.#worker) return;
    this.#worker.onerror = this.#worker.port.onmessage = null;
    this.#worker.port.postMessage("leaves");
    this.#worker = null;
  }

  // Nobody says so when a worker has crashed.
  #watch() {
    if (Date.now() - this.#lastEventAt < SILENCE_MS) return;
    this.#lose();
    this.#leave();
    this.#share();
  }

  #listenHere() {
    this.#leave();
    this.#stream = new SharedStream(this.#url, (...news) => this.#take(...news));
    document.addEventListener("visibilitychange", this.#listenWhileVisible);
    this.#listenWhileVisible();
  }

  #listenWhileVisible = () => {
    if (document.visibilityState === "visible") {
      this.#stream.open();
    } else {
      this.#stream.close();
      this.#lose();
    }
  };

  #take(news, pollSeconds) {
    this.#lastEventAt = Date.now();
    if (news === "lost") {
      this.#lose();
    } else if (news === "refused") {
      this.#refused();
    } else {
      this.#isConnected = news === "changed";
      this.#pollSeconds = pollSeconds;
      if (this.#isConnected) this.#changed();
      else this.#polls();
    }
  }

  #lose() {
    this.#isConnected = false;
    this.#pollSeconds = 0;
    this.#lost();
  }
}
