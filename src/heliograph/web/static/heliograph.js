// Keeps a page new without loading it again: what has changed is replaced where it stands, so that
// focus, selection and what was scrolled stay. Without this script <noscript> reloads the page.
"use strict";
(() => {
  const place = location.origin + location.pathname + location.search;
  const everyMs = Number(document.documentElement.dataset.refresh) * 1000;
  const stop = document.getElementById("stop");
  const lost = document.getElementById("lost");
  let stopped = false;

  // Make `was` like `now`. An element with an id is the same one wherever it stands.
  function renew(was, now) {
    if (was.isEqualNode(now)) return was;
    if (was.nodeName !== now.nodeName) {
      was.replaceWith(now);
      return now;
    }
    if (was.nodeType !== Node.ELEMENT_NODE) {
      was.nodeValue = now.nodeValue;
      return was;
    }
    for (const { name } of [...was.attributes]) if (!now.hasAttribute(name)) was.removeAttribute(name);
    for (const { name, value } of now.attributes) if (was.getAttribute(name) !== value) was.setAttribute(name, value);
    const known = new Map([...was.children].filter((one) => one.id).map((one) => [one.id, one]));
    let at = was.firstChild;
    for (const one of [...now.childNodes]) {
      const same = one.id ? known.get(one.id) : at && !at.id ? at : undefined;
      if (same === undefined) was.insertBefore(one, at);
      else {
        if (same !== at) was.insertBefore(same, at);
        at = renew(same, one).nextSibling;
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
    return was;
  }

  async function look() {
    if (stopped || document.hidden) return;
    try {
      const answer = await fetch(place, { cache: "no-store" });
      // Who gave the browser no token is not asked for it again and again.
      if (answer.status === 401 && !stopped) stop.click();
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (stopped) return;
      const focused = document.activeElement;
      for (const part of ["header", "main"]) renew(document.querySelector(part), page.querySelector(part));
      // An element that changed its place has lost it.
      if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }

  stop.hidden = false;
  stop.addEventListener("click", () => {
    stopped = !stopped;
    stop.textContent = stopped ? "Go on" : "Stop updates";
    if (!stopped) look();
  });
  document.addEventListener("visibilitychange", look);
  (async () => {
    for (;;) {
      await new Promise((done) => setTimeout(done, everyMs));
      await look();
    }
  })();
})();
