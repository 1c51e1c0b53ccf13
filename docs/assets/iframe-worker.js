// A worker in a hidden frame: a browser starts no real one from a page that lies in a folder, so search would not work.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.body.appendChild(document.createElement("iframe"));
      frame.hidden = true;
      const inside = (this.inside = frame.contentWindow);
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inside.importScripts = async (...names) => {
        for (const name of names) await load(inside, name);
      };
      this.waiting = load(inside, url);
    }
    postMessage(data) {
      this.waiting.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
    }
    addEventListener(type, ...rest) {
      super.addEventListener(type, ...rest);
    }
  };
  const load = (inside, src) =>
    new Promise((done, failed) => {
      const script = inside.document.createElement("script");
      Object.assign(script, { src, onload: done, onerror: failed });
      inside.document.body.appendChild(script);
    });
}
