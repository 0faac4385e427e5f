// For every page: requests of htmx carry the session's token.
const token = document.querySelector("meta[name=csrf]").content;
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = token;
});

// The frame around a fault is in px of the image, whose size is known once it has come.
document.addEventListener("load", (event) => {
  if (!event.target.matches?.(".framed img")) return;
  const frame = event.target.parentElement.querySelector(".frame");
  frame?.setAttribute("viewBox", `0 0 ${event.target.naturalWidth} ${event.target.naturalHeight}`);
  frame?.removeAttribute("hidden");
}, true);
document.addEventListener("error", (event) => {
  if (event.target.matches?.(".framed img")) event.target.parentElement.classList.add("is-gone");
}, true);
for (const image of document.querySelectorAll(".framed img")) {
  if (image.complete) image.dispatchEvent(new Event(image.naturalWidth ? "load" : "error"));
}
