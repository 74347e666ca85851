// What is shown anew while somebody looks, until they pause. Without this script a page is as whole, and as old as it is.
"use strict";
const part = document.querySelector("[data-live-part]");
const button = document.querySelector("[data-live]");
if (part && button) {
  let live = true;
  button.hidden = false;
  button.addEventListener("click", () => {
    live = !live;
    button.textContent = live ? "Pause" : "Go on";
  });
  const renew = async () => {
    if (!live || document.hidden || part.contains(document.activeElement)) return;
    const answer = await fetch(location.href, { redirect: "error" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const newer = page.querySelector("[data-live-part]");
    if (newer && live) part.replaceChildren(...newer.childNodes);
  };
  // One after the other: a slow answer is waited for.
  const again = () => setTimeout(() => renew().catch(() => {}).finally(again), 3000);
  again();
}
