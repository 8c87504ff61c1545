// Runs once for all pages of a browser, as long as any of them is open: holds the stream, and tells each page.

import { Stream } from "./stream.js";

const pages = new Set();
const stream = new Stream(self.name, (...news) => pages.forEach((page) => page.postMessage(news)));

function join(page) {
  pages.add(page);
  if (!stream.isOpen) stream.open();
  else if (stream.news) page.postMessage([stream.news, stream.pollSeconds]);
}

function leave(page) {
  pages.delete(page);
  if (pages.size === 0) stream.close();
}

self.addEventListener("connect", ({ ports: [page] }) => {
  page.addEventListener("message", ({ data }) => (data === "leaves" ? leave(page) : stream.reconnect()));
  page.start();
  join(page);
});
