"use strict";
(() => {
  const CHUNK = 400; // tokens a piece; those out of sight are not made
  const unpacked = new Map(); // depth element -> promise of what its data script holds
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  document.documentElement.classList.add("scripted");

  const unpack = async (depth) => {
    const script = depth.querySelector("script.data");
    if (!script) return null;
    const bytes = Uint8Array.from(atob(script.textContent), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };

  // Phases come as [start, stop] pairs on the element, in order.
  const phasesOf = (depth) => JSON.parse(depth.dataset.phases || "[]");

  const level = (value, ceiling) => Math.min(9, Math.round((value / 1000 / ceiling) * 9));

  const token = (data, at, ceiling) => {
    const span = document.createElement("span");
    const value = data.values[at];
    const text = data.texts ? data.texts[at] : "\u25AA ";
    span.className = "t " + (value === null ? "none" : "h" + level(value, ceiling));
    span.dataset.at = at;
    span.tabIndex = -1;
    span.textContent = text === "" ? "\u2205" : text.replaceAll("\n", "\u21B5\n");
    return span;
  };

  const fill = (chunk) => {
    if (chunk.filled) return;
    chunk.filled = true;
    const { data, from, to, phases, ceiling } = chunk.holds;
    let next = phases.findIndex(([, stop]) => stop > from);
    let box = null;
    for (let at = from; at < to; at++) {
      while (next >= 0 && next < phases.length && phases[next][1] <= at) { next++; box = null; }
      const inside = next >= 0 && next < phases.length && phases[next][0] <= at;
      if (inside && !box) {
        box = document.createElement("span");
        box.className = "p";
        chunk.append(box);
      }
      (inside ? box : chunk).append(token(data, at, ceiling));
    }
    chunk.style.minHeight = "";
  };

  const watcher = new IntersectionObserver(
    (entries) => entries.forEach((entry) => entry.isIntersecting && (fill(entry.target), watcher.unobserve(entry.target))),
    { rootMargin: "800px" },
  );

  // Pieces end at a line break where there is one, so that lines stay whole.
  const cut = (data, from, to) => {
    if (to - from <= CHUNK * 1.5) return to;
    for (let at = from + CHUNK; at > from + CHUNK / 2; at--) {
      if (data.texts && data.texts[at - 1].endsWith("\n")) return at;
    }
    return from + CHUNK;
  };

  // About how many lines a piece will have, so that the page keeps its length when it is made.
  const lines = (data, from, to, width) => {
    const text = data.texts ? data.texts.slice(from, to).join("") : "xx".repeat(to - from);
    const room = Math.max(10, Math.floor((width || 900) / 8.7));
    return text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / room)), 0);
  };

  const layOut = (depth, data) => {
    const phases = phasesOf(depth);
    const ceiling = Number(depth.dataset.ceiling);
    depth.all = data;
    for (const place of depth.querySelectorAll(".tokens")) {
      const to = Number(place.dataset.to);
      for (let from = Number(place.dataset.from); from < to; ) {
        const stop = cut(data, from, to);
        const chunk = document.createElement("div");
        chunk.className = "chunk";
        chunk.holds = { data, from, to: stop, phases, ceiling };
        const high = lines(data, from, stop, place.clientWidth) * 25.2 + "px";
        chunk.style.minHeight = high;
        chunk.style.containIntrinsicBlockSize = "auto " + high; // made, and out of sight again
        place.append(chunk);
        watcher.observe(chunk);
        from = stop;
      }
    }
    depth.dataset.ready = "";
  };

  const open = (depth) => {
    if (!unpacked.has(depth)) unpacked.set(depth, unpack(depth).then((data) => data && layOut(depth, data)));
    return unpacked.get(depth);
  };

  const find = (depth, at) => {
    for (const chunk of depth.querySelectorAll(".chunk")) {
      if (chunk.holds.from <= at && at < chunk.holds.to) {
        fill(chunk);
        return chunk.querySelector(`[data-at="${at}"]`);
      }
    }
    return null;
  };

  const cell = (row, text, name) => {
    const made = row.insertCell();
    made.textContent = text;
    if (name) made.className = name;
    return made;
  };

  // A candidate as a word to look at: line breaks, blanks alone, and no text at all are signs.
  const inked = (text) => {
    const signs = text.replaceAll("\n", "\u21B5");
    return signs.trim() ? signs : signs.replaceAll(" ", "\u2423") || "\u2205";
  };

  const tell = (span) => {
    const depth = span.closest(".depth");
    const at = Number(span.dataset.at);
    const data = depth.all;
    const value = data.values[at];
    const said = document.createElement("p");
    said.textContent = `token ${at + 1} of ${data.values.length}: ` +
      (value === null ? "no logprobs came with it" : `${(value / 1000).toFixed(2)} nats`);
    tip.replaceChildren(said);
    const rows = data.candidates[at];
    if (rows) {
      const table = document.createElement("table");
      for (const [text, share] of rows) {
        const row = table.insertRow();
        const own = data.texts && text === data.texts[at];
        cell(row, inked(text), "text" + (own ? " this" : ""));
        cell(row, (share / 10).toFixed(1) + " %");
        const bar = document.createElement("span");
        bar.className = "share";
        bar.style.width = share / 12 + "px";
        cell(row, "").append(bar);
      }
      tip.append(table);
    } else if (value !== null) {
      const none = document.createElement("p");
      none.textContent = data.all ? "its candidates were not kept" : "its candidates are not in this file";
      tip.append(none);
    }
    tip.hidden = false;
    const box = span.getClientRects()[0] || span.getBoundingClientRect();
    const high = tip.offsetHeight;
    tip.style.left = Math.max(4, Math.min(box.left, innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = (box.bottom + high + 8 < innerHeight ? box.bottom + 6 : Math.max(4, box.top - high - 6)) + "px";
  };

  const hush = () => { tip.hidden = true; };

  const show = async (depth, at) => {
    await open(depth);
    const span = find(depth, at);
    if (!span) return;
    span.scrollIntoView({ block: "center" });
    span.focus({ preventScroll: true });
    tell(span);
  };

  const step = (from, by) => {
    const list = [...(from.closest(".rollouts") || document).querySelectorAll(".rollout > summary")];
    const next = list[list.indexOf(from) + by];
    if (next) next.focus();
  };

  document.addEventListener("toggle", (event) => {
    const depth = event.target.matches(".rollout") && event.target.open && event.target.querySelector(".depth");
    if (depth) open(depth);
  }, true);

  document.addEventListener("pointerover", (event) => {
    const span = event.target.closest(".t");
    span ? tell(span) : hush();
  });
  document.addEventListener("scroll", hush, { passive: true });
  document.addEventListener("focusin", (event) => event.target.matches(".t") ? tell(event.target) : hush());

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".go");
    if (button) return show(button.closest(".depth"), Number(button.dataset.at));
    const span = event.target.closest(".t");
    if (span) span.focus({ preventScroll: true });
  });

  document.addEventListener("keydown", (event) => {
    const here = event.target;
    const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (by && here.matches(".rollout > summary")) {
      event.preventDefault();
      step(here, by);
    } else if (by && here.matches(".t")) {
      event.preventDefault();
      const next = find(here.closest(".depth"), Number(here.dataset.at) + by);
      if (next) { next.focus(); tell(next); }
    } else if (event.key === "Escape") {
      const rollout = here.closest && here.closest(".rollout[open]");
      hush();
      if (!rollout) return;
      rollout.open = false;
      rollout.querySelector("summary").focus();
    }
  });

  // A link to a rollout opens it, and what it lies in.
  const follow = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
    const summary = target.querySelector("summary");
    if (summary) summary.focus({ preventScroll: true });
  };
  addEventListener("hashchange", follow);
  addEventListener("load", () => setTimeout(follow)); // after the browser's own move there
})();
