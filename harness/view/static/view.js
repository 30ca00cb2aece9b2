// What a page of the view can do beyond plain links: nothing here is needed to read it.
"use strict";

const quiet = () => {};

// Charts are drawn when somebody comes near them, and what is loaded may have places of its own.
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); load(entry.target); }
}, { rootMargin: "600px" });
async function load(place) {
  const answer = await fetch(place.dataset.load).catch(quiet);
  if (!answer || !answer.ok) return;
  place.innerHTML = await answer.text();
  place.removeAttribute("data-load");
  observe(place);
}
function observe(within) {
  for (const place of within.querySelectorAll("[data-load]")) near.observe(place);
}

// A part is left alone while somebody is in it; what is open stays open.
function renew(part, fresh) {
  if (part.contains(document.activeElement) && document.activeElement.closest("details, form")) return;
  if (part.innerHTML === fresh.innerHTML) return;
  const at = document.activeElement && part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const left = [...part.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  part.innerHTML = fresh.innerHTML;
  part.querySelectorAll(".scroll").forEach((each, index) => { each.scrollLeft = left[index] || 0; });
  if (at) { const link = [...part.querySelectorAll("a")].find((each) => each.getAttribute("href") === at); if (link) link.focus(); }
  localTimes(part);
}

// While a run goes on its page is asked for again and again; once it is over the whole page is another.
async function refresh() {
  const main = document.querySelector("main[data-refresh]");
  if (!main) return;
  const wait = Number(main.dataset.refresh);
  for (;;) {
    await new Promise((done) => setTimeout(done, wait));
    if (document.hidden) continue;
    const answer = await fetch(location.href).catch(quiet);
    if (!answer || !answer.ok) continue;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.querySelector("main[data-refresh]")) { location.reload(); return; }
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh) renew(part, fresh);
      else part.innerHTML = "";
    }
    if ([...page.querySelectorAll("[data-live]")].some((part) => !document.getElementById(part.id))) { location.reload(); return; }
  }
}

// j and k go from row to row; o, or Enter on its link, opens one.
function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const step = { j: 1, k: -1 }[event.key];
  if (event.key === "/") {
    const search = document.querySelector("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  }
  if (!step) return;
  const links = [...document.querySelectorAll("table[data-keys] tbody tr")].map((row) => row.querySelector("a")).filter(Boolean);
  if (!links.length) return;
  const now = document.activeElement ? links.findIndex((link) => link.closest("tr").contains(document.activeElement)) : -1;
  const next = now < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, now + step));
  links[next].focus();
  event.preventDefault();
}

// The page says UTC; hovering tells the time of whoever looks.
function localTimes(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.title = at.toLocaleString();
  }
}

// A link that points into something closed opens it; what is no name of a place is none.
function named() {
  try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; }
}
function reveal() {
  const place = document.getElementById(named());
  if (!place) return;
  for (let each = place; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
  place.scrollIntoView();
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href.split("#")[0]).then(() => { button.textContent = "copied"; }, quiet);
  });
}
document.addEventListener("keydown", keys);
window.addEventListener("hashchange", reveal);
localTimes(document);
reveal();
refresh();
observe(document);
