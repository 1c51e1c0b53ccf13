// A page that is served loads itself again when its run has gone on, and stays where its reader was.
(() => {
  "use strict";
  const version = document.body.dataset.version;
  if (!version) return;
  const EVERY = 3000;
  const KEY = `align ${location.pathname}`;
  const controls = () => [...document.querySelectorAll(".tools input, .tools select")];

  // What is closed by default has no name of its own: its words, and how often they came before.
  const named = () => {
    const seen = new Map();
    return [...document.querySelectorAll("details")].map((item) => {
      const words = item.dataset.key || item.querySelector("summary").textContent.trim();
      seen.set(words, (seen.get(words) || 0) + 1);
      return [`${words} ${seen.get(words)}`, item];
    });
  };

  // A browser may refuse its storage, or have none for a page such as this: then the page opens at its top.
  const stored = (use) => {
    try {
      return use();
    } catch {
      return null;
    }
  };

  const keep = () => {
    const values = controls().map((each) => [each.id, each.type === "checkbox" ? each.checked : each.value]);
    const open = named().map(([name, item]) => [name, item.open]);
    const focus = document.activeElement ? document.activeElement.id : "";
    stored(() => sessionStorage.setItem(KEY, JSON.stringify({ values, open, focus, top: scrollY })));
  };

  const restore = () => {
    const kept = stored(() => JSON.parse(sessionStorage.getItem(KEY) || "null"));
    stored(() => sessionStorage.removeItem(KEY));
    if (!kept) return;
    const values = new Map(kept.values);
    for (const each of controls()) {
      if (!values.has(each.id)) continue;
      if (each.type === "checkbox") each.checked = values.get(each.id);
      else each.value = values.get(each.id);
    }
    for (const tools of document.querySelectorAll(".tools")) tools.dispatchEvent(new Event("input"));
    const open = new Map(kept.open);
    for (const [name, item] of named()) if (open.has(name)) item.open = open.get(name);
    if (kept.focus) document.getElementById(kept.focus)?.focus({ preventScroll: true });
    scrollTo(0, kept.top);
  };

  const note = document.createElement("p");
  note.className = "running";
  note.hidden = true;
  note.textContent = "The server of this page has ended; what is shown is what it showed last.";
  document.querySelector("h1").after(note);

  const look = async () => {
    try {
      const answer = await fetch("version", { cache: "no-store" });
      const now = (await answer.text()).trim();
      note.hidden = answer.ok;
      if (answer.ok && now !== version) {
        keep();
        location.reload();
        return;
      }
    } catch {
      note.hidden = false;
    }
    setTimeout(look, EVERY);
  };

  history.scrollRestoration = "manual";
  restore();
  setTimeout(look, EVERY);
})();
