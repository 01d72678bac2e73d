/* Pages for editing: what a field could name is found as one types; what one has typed and not saved
   is not lost by leaving the page.  Neighbour: `forms.js` checks and sends. */

const WAIT_MS = 200;

for (const field of document.querySelectorAll("[data-suggest]")) {
  const list = document.getElementById(field.getAttribute("list"));
  const said = field.parentElement.querySelector("[data-said]");
  const known = new Map();
  let timer = 0;
  const look = async () => {
    const words = field.value.trim();
    const answer = await fetch(`${field.dataset.suggest}?q=${encodeURIComponent(words)}`).catch(() => null);
    if (!answer?.ok || words !== field.value.trim()) return;
    const found = await answer.json();
    for (const { id, label } of found) known.set(id, label);
    list.replaceChildren(...found.map(({ id, label }) => Object.assign(document.createElement("option"), { value: id, label: label || id })));
    tell();
  };
  const tell = () => { said.textContent = known.get(field.value.trim()) ?? ""; };
  field.addEventListener("input", () => {
    tell();
    clearTimeout(timer);
    timer = setTimeout(look, WAIT_MS);
  });
  field.addEventListener("focus", () => list.childElementCount || look());
}

/* A file is read into its field, where it can be looked at before it is sent. */
for (const file of document.querySelectorAll("input[type=file][data-into]")) {
  file.addEventListener("change", async () => {
    document.getElementById(file.dataset.into).value = (await file.files[0]?.text()) ?? "";
  });
}

let typed = false;
addEventListener("input", (event) => { typed ||= Boolean(event.target.closest("form[data-api]")); });
addEventListener("submit", () => { typed = false; });
addEventListener("click", (event) => { if (event.target.closest("button[data-api]")) typed = false; });
addEventListener("beforeunload", (event) => { if (typed) event.preventDefault(); });
