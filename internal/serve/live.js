"use strict";

// Asks for the page again and again, and replaces those of its parts that have changed.
(() => {
  const every = 3000, patience = 60000; // milliseconds
  const pulse = document.getElementById("pulse");
  let etag = document.querySelector('meta[name="etag"]').content;
  let answered = Date.now();

  // ages writes behind each time how long ago it was.
  function ages() {
    for (const time of document.querySelectorAll("main time")) {
      const seconds = Math.max(0, (Date.now() - Date.parse(time.dateTime)) / 1000);
      const [n, unit] = seconds < 90 ? [seconds, "s"] : seconds < 5400 ? [seconds / 60, "min"] : seconds < 129600 ? [seconds / 3600, "h"] : [seconds / 86400, "days"];
      let age = time.nextElementSibling;
      if (!age || age.tagName !== "SMALL") {
        time.after(" ", age = document.createElement("small"));
      }
      const text = `(${Math.round(n)} ${unit} ago)`;
      if (age.textContent !== text) {
        age.textContent = text;
      }
    }
  }

  // show writes whether the page is up to date.
  function show(late) {
    pulse.className = late ? "late" : "";
    pulse.textContent = late ? `no answer since ${new Date(answered).toLocaleTimeString()}` : "live";
  }

  // replace puts a part in place of an older one, once its figures are there.
  async function replace(old, part) {
    for (const details of part.querySelectorAll("details[id]")) {
      const before = document.getElementById(details.id);
      if (before) {
        details.open = before.open;
      }
    }
    for (const image of part.querySelectorAll("details[open] img")) {
      image.loading = "eager";
    }
    const awaited = [...part.querySelectorAll("img")].filter((image) => image.loading !== "lazy"); // others are folded away
    await Promise.all(awaited.map((image) => image.decode().catch(() => {})));
    const scrolled = [...old.querySelectorAll(".scroll")].map((e) => [e.scrollLeft, e.scrollTop]);
    const focused = document.activeElement && old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceWith(part);
    part.querySelectorAll(".scroll").forEach((e, i) => {
      if (scrolled[i]) {
        [e.scrollLeft, e.scrollTop] = scrolled[i];
      }
    });
    if (focused && document.getElementById(focused)) {
      document.getElementById(focused).focus({ preventScroll: true });
    }
  }

  async function refresh(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    const parts = [...next.querySelectorAll("main > .part")];
    const main = document.querySelector("main");
    const kept = new Set(parts.map((part) => part.id));
    for (const old of [...main.children]) {
      if (!kept.has(old.id)) {
        old.remove();
      }
    }
    let before = null;
    for (const found of parts) {
      const old = document.getElementById(found.id);
      if (!old) {
        const part = document.importNode(found, true);
        before ? before.after(part) : main.prepend(part);
      } else {
        if (before ? before.nextElementSibling !== old : main.firstElementChild !== old) {
          before ? before.after(old) : main.prepend(old);
        }
        if (old.dataset.v !== found.dataset.v) {
          await replace(old, document.importNode(found, true));
        }
      }
      before = document.getElementById(found.id);
    }
    document.title = next.title;
    etag = next.querySelector('meta[name="etag"]').content;
  }

  async function poll() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.pathname, { headers: { "If-None-Match": etag }, cache: "no-store", signal: AbortSignal.timeout(patience) });
        if (answer.status === 200) {
          await refresh(await answer.text());
        } else if (answer.status !== 304) {
          throw new Error(answer.statusText);
        }
        answered = Date.now();
        show(false);
      } catch {
        show(true);
      }
      ages();
    }
    setTimeout(poll, every);
  }

  ages();
  show(false);
  setTimeout(poll, every);
})();
