/* Two people have changed the same thing: the second sees what the first has written, beside what
   was typed here, and saves on that.  Nothing that was typed is lost, and nothing of the other's is
   overwritten unseen.  Neighbour: `forms.js` comes here when the server says 412. */

import { say } from "./actions.js";
import { data, h, t } from "./dom.js";
import { bodyOf, valueOf } from "./forms.js";
import { timeOfDay } from "./words.js";

export async function meet(form) {
  const [theirs, change] = await Promise.all([now(form), latest(form)]);
  if (!theirs) return say(t("js.failed", { why: t("js.offline") }), "bad");
  const flat = [...form.elements].every((field) => !field.name.includes("."));
  const told = flat ? byField(form, theirs) : byPart(form, theirs);
  form.dataset.version = theirs.version;
  show(form, change, told);
}

async function now(form) {
  const answer = await fetch(form.dataset.api).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

async function latest(form) {
  const { thing, id } = form.dataset;
  const answer = await fetch(`/api/v1/changes?limit=1&thing=${thing}&id=${encodeURIComponent(id)}`).catch(() => null);
  return answer?.ok ? (await answer.json()).items[0] : null;
}

/* What was not touched here becomes theirs; what both have written is for a person to decide. */
function byField(form, theirs) {
  const told = [];
  for (const field of form.elements) {
    if (!field.name || !(field.name in theirs)) continue;
    const [base, mine, other] = [begun(field), same(field, valueOf(field)), same(field, theirs[field.name])];
    if (mine === other || base === other) continue;
    const label = labelOf(field);
    if (mine === base) {
      put(field, theirs[field.name]);
      told.push(h("li", {}, t("js.merge.theirs", { field: label, value: shown(theirs[field.name]) })));
    } else {
      const take = h("button", { type: "button", onclick: () => put(field, theirs[field.name]) }, t("js.merge.take"));
      told.push(h("li", {}, t("js.merge.both", { field: label, value: shown(theirs[field.name]) }), " ", take));
    }
  }
  return told;
}

/* Lists of rows are not woven together: what is there now is shown as a whole. */
function byPart(form, theirs) {
  const mine = bodyOf(form);
  return Object.keys(theirs)
    .filter((name) => name !== "version" && JSON.stringify(theirs[name]) !== JSON.stringify(mine[name] ?? empty(theirs[name])))
    .filter((name) => name in mine || JSON.stringify(theirs[name]) !== JSON.stringify(empty(theirs[name])))
    .map((name) => h("li", {}, t("js.merge.now", { field: titleOf(form, name), value: shown(theirs[name]) })));
}

const empty = (value) => (Array.isArray(value) ? [] : typeof value === "string" ? "" : null);

function begun(field) {
  if (field.type === "checkbox") return same(field, field.defaultChecked);
  const copy = field.cloneNode(true);
  if (field.tagName === "SELECT") copy.value = [...field.options].find((one) => one.defaultSelected)?.value ?? field.options[0].value;
  else copy.value = field.defaultValue;
  return same(field, valueOf(copy));
}

function same(field, value) {
  if (value === null || value === undefined || value === "") return "";
  return field.type === "datetime-local" ? String(Date.parse(value)) : String(value);
}

function put(field, value) {
  if (field.type === "checkbox") field.checked = Boolean(value);
  else if (field.type === "datetime-local") field.value = value ? inPlace(value) : "";
  else field.value = value ?? "";
  field.focus();
}

function inPlace(moment) {
  const form = new Intl.DateTimeFormat("sv-SE", { timeZone: data.zone, dateStyle: "short", timeStyle: "short" });
  return form.format(Date.parse(moment)).replace(" ", "T");
}

const labelOf = (field) => (field.labels?.[0]?.firstChild?.textContent || field.labels?.[0]?.textContent || field.name).trim();
const titleOf = (form, name) => form.querySelector(`[data-part="${name}"] legend`)?.textContent
  ?? (form.elements[name] ? labelOf(form.elements[name]) : name);

function shown(value) {
  if (value === null || value === undefined || value === "") return "—";
  if (Array.isArray(value)) return value.map(shown).join("; ") || "—";
  if (typeof value === "object") return Object.values(value).filter((one) => one !== null && one !== "").map(shown).join(" ");
  return typeof value === "boolean" ? (value ? "✓" : "✗") : String(value);
}

function show(form, change, told) {
  form.querySelector(".merge")?.remove();
  const who = change ? t("js.merge.who", { name: change.name ?? change.actor, time: timeOfDay(Date.parse(change.at)) }) : t("js.changed");
  const box = h("section", { class: "merge", role: "alert", tabindex: "-1" },
    h("p", {}, h("strong", {}, who)),
    told.length ? h("ul", {}, ...told) : h("p", {}, t("js.merge.nothing")),
    h("p", {}, t("js.merge.again")),
    h("button", { type: "button", onclick: () => location.reload() }, t("js.merge.drop")));
  form.prepend(box);
  box.focus();
}
