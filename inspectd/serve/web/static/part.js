// The photo on the page of one part.

import { Photo } from "./photo.js";

const find = (id) => document.getElementById(id);
const { image, name, marks, none } = find("photo").dataset;
const photo = new Photo(find("photo"));
photo.show(image || null, name, JSON.parse(marks), none);

function toggleMarks() {
  find("marks").setAttribute("aria-pressed", String(photo.toggleMarks()));
}
const clicks = { smaller: () => photo.smaller(), fit: () => photo.fit(), larger: () => photo.larger(), marks: toggleMarks };
for (const [id, action] of Object.entries(clicks)) find(id).addEventListener("click", action);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  if (event.key.toLowerCase() === "h") toggleMarks();
  else if (!photo.key(event)) return;
  event.preventDefault();
});
