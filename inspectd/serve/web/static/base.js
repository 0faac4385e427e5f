// For every page: requests of htmx carry the session's token.
const token = document.querySelector("meta[name=csrf]").content;
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = token;
});
