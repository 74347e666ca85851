// What is shown anew while somebody looks, until they pause. Without this script a page is as whole, and as old as it is.
"use strict";
const part = document.querySelector("[data-live-part]");
const button = document.querySelector("[data-live]");
// The most rows of a page that grows.
const MOST = 100;
if (part && button) {
  let live = true;
  let source = null;
  // Where nothing is told, or not any more, it is asked.
  let asks = !part.querySelector("[data-feed]") || !window.EventSource;
  // Nothing moves where somebody is about to press something.
  const looks = () => live && !document.hidden && !part.contains(document.activeElement);
  const renew = async () => {
    if (!asks || !looks()) return;
    const answer = await fetch(location.href, { redirect: "error" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const newer = page.querySelector("[data-live-part]");
    if (newer && looks()) part.replaceChildren(...newer.childNodes);
  };
  // One after the other: a slow answer is waited for.
  const again = () => setTimeout(() => renew().catch(() => {}).finally(again), 3000);
  const add = (told) => {
    const rows = part.querySelector("[data-feed]");
    const row = new DOMParser().parseFromString(`<table>${told.data}</table>`, "text/html").querySelector("tr");
    if (!rows || !row) return;
    rows.prepend(row);
    part.querySelector("[data-none]")?.remove();
    while (rows.children.length > MOST) rows.lastElementChild.remove();
  };
  const follow = () => {
    if (asks || looks() === !!source) return;
    if (source) {
      source.close();
      source = null;
      return;
    }
    const rows = part.querySelector("[data-feed]");
    const seen = rows.querySelector("[data-id]")?.dataset.id ?? "";
    source = new EventSource(`${rows.dataset.feed}&seen=${seen}`);
    source.addEventListener("row", add);
    source.addEventListener("error", () => {
      // It comes back by itself, unless it was refused.
      if (source?.readyState !== EventSource.CLOSED) return;
      source = null;
      asks = true;
      again();
    });
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    live = !live;
    button.textContent = live ? "Pause" : "Go on";
    follow();
  });
  document.addEventListener("visibilitychange", follow);
  part.addEventListener("focusin", follow);
  part.addEventListener("focusout", () => setTimeout(follow));
  if (asks) again();
  follow();
}
