/* Forms that speak to the API: `<form data-api="/api/v1/..." data-method="PUT" data-version="3">`.

   Fields become JSON by their names (`key_holders.0.name` nests); what the server finds wrong
   stands beside its field.  A button with `data-api` alone sends an empty body.  With
   `data-queue` what cannot be sent now waits in the browser.  Success reloads the page, and
   says so there; where the answer names a change, it can be taken back. */

import { say } from "./actions.js";
import { data, h, t } from "./dom.js";
import { put } from "./queue.js";

const SAID = "vigil.said";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.api) return;
  event.preventDefault();
  clear(form);
  submit(form, bodyOf(form), event.submitter);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-api]");
  if (!button) return;
  event.preventDefault();
  if (!button.dataset.sure || confirm(button.dataset.sure)) {
    submit(button, JSON.parse(button.dataset.body ?? "{}"), button);
  }
});
document.addEventListener("click", (event) => {
  const more = event.target.closest("[data-more]");
  if (!more) return;
  const rows = more.closest("fieldset").querySelectorAll(".row-of");
  const row = rows[rows.length - 1].cloneNode(true);
  for (const field of row.querySelectorAll("[name]")) {
    field.name = field.name.replace(/\.\d+\./, `.${rows.length}.`);
    field.value = "";
  }
  more.before(row);
  row.querySelector("[name]").focus();
});

async function submit(source, body, button) {
  const { api, method = "POST", version, then, queue } = source.dataset;
  const headers = version ? { "If-Match": `"${version}"` } : {};
  button?.setAttribute("aria-busy", "true");
  const answer = await fetch(api, {
    method,
    headers: {
      "Content-Type": "application/json", "X-CSRF-Token": data.csrf, "Idempotency-Key": keyOf(source, body), ...headers,
    },
    body: method === "DELETE" ? undefined : JSON.stringify(body),
  }).catch(() => null);
  button?.removeAttribute("aria-busy");
  if (!answer || answer.status >= 500) {
    if (queue && !answer) {
      put(api, body, queue, headers);
      say(t("queue.waits"), "good");
    } else say(t("js.failed", { why: t("js.offline") }), "bad");
    return;
  }
  const told = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  if (!answer.ok) return refused(source, answer.status, told);
  if (source.dataset.shows) return shown(source, told);
  sessionStorage.setItem(SAID, "saved");
  location.href = then ? then.replace("{id}", told.id ?? "") : location.href.split("#")[0];
}

/* The same content sent twice by a double click counts once. */
const keys = new WeakMap();
function keyOf(source, body) {
  const text = JSON.stringify(body);
  const known = keys.get(source);
  if (known?.text === text) return known.key;
  const made = { text, key: `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}` };
  keys.set(source, made);
  return made.key;
}

/* A secret that is told once (a claim code) is shown where it was asked for. */
function shown(source, told) {
  const place = document.getElementById(source.dataset.shows);
  place.hidden = false;
  place.querySelector("output").textContent = told[source.dataset.field];
}

function refused(form, status, told) {
  keys.delete(form);
  if (status === 412 || status === 409) say(told.detail ?? t("js.changed"), "bad");
  else say(t("js.failed", { why: told.errors?.length ? t("js.see_fields") : told.detail }), "bad");
  const first = (told.errors ?? []).map((error) => mark(form, error)).find(Boolean);
  first?.focus();
}

function mark(form, { pointer, detail }) {
  const name = pointer.replace(/^\/body\//, "").replaceAll("/", ".");
  const field = form.elements?.namedItem(name) ?? form.querySelector?.(`[name^="${name.split(".")[0]}"]`);
  if (!field) return null;
  const why = h("span", { class: "field-error", id: `why-${name}` }, detail);
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", why.id);
  field.after(why);
  return field;
}

function clear(form) {
  for (const error of form.querySelectorAll(".field-error")) error.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

export function bodyOf(form) {
  const body = JSON.parse(form.dataset.body ?? "{}");
  for (const field of form.elements) {
    if (!field.name || field.disabled || (field.type === "radio" && !field.checked)) continue;
    const value = valueOf(field);
    if (value !== undefined) set(body, field.name.split("."), value);
  }
  return prune(body);
}

function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.value === "") return field.dataset.empty === "null" ? null : field.dataset.empty === "keep" ? "" : undefined;
  if (field.type === "number" || field.dataset.type === "number") return Number(field.value);
  if (field.dataset.type === "list") return field.value.split(/[\s,，]+/).filter(Boolean);
  if (field.dataset.type === "json") return JSON.parse(field.value);
  if (field.type === "datetime-local") return inZone(field.value);
  return field.value;
}

function set(target, [head, ...rest], value) {
  if (!rest.length) target[head] = value;
  else set((target[head] ??= /^\d+$/.test(rest[0]) ? [] : {}), rest, value);
}

/* Rows that were left empty are no rows. */
function prune(value) {
  if (Array.isArray(value)) return value.map(prune).filter((one) => typeof one !== "object" || Object.keys(one).length);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, prune(one)]));
  }
  return value;
}

/* What somebody types is the community's time, wherever the browser is. */
function inZone(text) {
  const guess = Date.parse(`${text}Z`);
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en-GB", {
    timeZone: data.zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  }).formatToParts(guess).map((part) => [part.type, part.value]));
  const there = Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute);
  return new Date(guess - (there - guess)).toISOString();
}

if (sessionStorage.getItem(SAID)) {
  sessionStorage.removeItem(SAID);
  say(t("js.saved"), "good");
}
