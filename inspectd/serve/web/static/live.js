// Every page: what changes on the line, without a reload. The server makes the HTML; here it only comes to its place.

const BEHIND_S = 3;
const AGAIN_MS = 3000;
const REJECTS = 20;

const known = new Map();
let heard = performance.now();
let age = 0;
let problem = null;
let shownMs = Date.now();
let refused = null;
let software = null;
let hasValues = false;

function put(id, html) {
  const place = document.getElementById(id);
  if (place === null || known.get(id) === html) return;
  known.set(id, html);
  place.innerHTML = html;
}

function putReject(list, part, html) {
  const old = list.querySelector(`[data-part="${part}"]`);
  const template = document.createElement("template");
  template.innerHTML = html.trim();
  const line = template.content.firstElementChild;
  if (old !== null) {
    if (!old.isEqualNode(line)) {
      const hadFocus = old.contains(document.activeElement);
      old.replaceWith(line);
      if (hadFocus) line.querySelector("a").focus();
    }
    return;
  }
  const after = [...list.children].find((each) => Number(each.dataset.part) < part);
  list.insertBefore(line, after ?? null);
  while (list.children.length > REJECTS) list.lastElementChild.remove();
}

function putRejects(rejects, isWhole) {
  const list = document.getElementById("rejects");
  if (list === null) return;
  if (isWhole) {
    const stay = new Set(rejects.map(([part]) => String(part)));
    for (const line of [...list.children]) if (!stay.has(line.dataset.part)) line.remove();
  }
  for (const [part, html] of rejects) putReject(list, part, html);
  const parts = rejects.map(([part]) => part);
  if (parts.length) requestAnimationFrame(() => performance.mark("rejects", { detail: parts }));
}

function take(event) {
  const said = JSON.parse(event.data);
  heard = performance.now();
  age = said.age_s;
  problem = said.problem;
  shownMs = said.t_utc_ms - 1000 * age;
  refused = null;
  hasValues = said.has_values;
  if (software !== null && software !== said.software) location.reload();
  software = said.software;
  for (const [id, html] of Object.entries(said.fragments)) put(id, html);
  putRejects(said.rejects, event.type === "state");
  const acknowledge = document.getElementById("acknowledge");
  if (acknowledge !== null) acknowledge.hidden = !said.can_acknowledge;
  if (form !== null) form.elements.stop.value = said.stop;
  document.getElementById("top-row").classList.toggle("is-stopped", said.is_stopped);
  document.dispatchEvent(new CustomEvent("live", { detail: { rejects: said.rejects.map(([part]) => part) } }));
  showAge();
}

function showAge() {
  const behind = (performance.now() - heard) / 1000 + age;
  const notice = document.getElementById("behind");
  const isBehind = behind > BEHIND_S || problem !== null;
  document.documentElement.classList.toggle("is-behind", isBehind);
  notice.hidden = !isBehind;
  if (!isBehind) {
    notice.textContent = "";
    return;
  }
  const why = refused ?? (problem === null ? "There is no connection to the line's computer." : `${problem}.`);
  const when = new Date(shownMs).toLocaleTimeString("en-GB");
  const since = hasValues ? `This page is ${span(behind)} behind the line: its values are of ${when}.` : "This page can't show the line.";
  const text = `⚠ ${since} ${why} The line does not need this page.`;
  if (notice.textContent !== text) notice.textContent = text;
}

function span(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

function connect() {
  const source = new EventSource("/events");
  for (const name of ["state", "news", "beat"]) source.addEventListener(name, take);
  source.addEventListener("refused", (event) => {
    refused = JSON.parse(event.data);
    showAge();
  });
  source.addEventListener("error", async () => {
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    if (await isLoggedOut()) location.reload();
    else setTimeout(connect, AGAIN_MS);
  });
  addEventListener("pagehide", () => source.close(), { once: true });
}

async function isLoggedOut() {
  try {
    const answer = await fetch(location.pathname, { method: "HEAD", redirect: "manual" });
    return answer.type === "opaqueredirect" || answer.status === 401;
  } catch {
    return false; // there is no connection
  }
}

const form = document.querySelector("form#acknowledge");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  const answer = document.getElementById("answer");
  button.disabled = true;
  let text = "No answer came. It is not known whether the stop was acknowledged.";
  try {
    const token = document.querySelector("meta[name=csrf]").content;
    const headers = { "X-CSRF-Token": token, Accept: "text/plain" };
    const said = await fetch(form.action, { method: "POST", headers, body: new URLSearchParams(new FormData(form)) });
    const isPlain = said.headers.get("content-type")?.startsWith("text/plain");
    text = isPlain ? await said.text() : "Not acknowledged: log in again.";
  } catch { /* the text above says it */ }
  answer.textContent = text;
  answer.hidden = false;
  button.disabled = false;
  setTimeout(() => { answer.hidden = true; }, 15_000);
});

connect();
setInterval(showAge, 500);
