/* Forms that speak to the API: `<form data-api="/api/v1/..." data-method="PUT" data-version="3">`.

   Fields become JSON by their names (`key_holders.0.name` nests; `data-member` boxes of one name are
   a list).  What cannot be is said beside its field as soon as it is left, what the server finds wrong
   likewise.  A button with `data-api` alone sends an empty body.  With `data-queue` what cannot be
   sent now waits in the browser.  Where somebody else was first, `merge.js` shows what they changed.
   Success reloads the page, and says so there; the latest change on it can be taken back at once. */

import { say } from "./actions.js";
import { data, h, t } from "./dom.js";
import { put } from "./queue.js";

const SAID = "vigil.said";

for (const form of document.querySelectorAll("form[data-api]")) {
  form.noValidate = true;  // the same checks, in the page's language and beside the field
  // Not on the way to a button: what is said would move it from under the pointer, and sending checks anyway.
  form.addEventListener("focusout", (event) => {
    if (event.target.name && !event.relatedTarget?.closest("button")) check(event.target);
  });
}
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.api) return;
  event.preventDefault();
  clear(form);
  const wrong = [...form.elements].filter((field) => field.name && !field.disabled && !check(field));
  if (wrong.length) wrong[0].focus();
  else submit(form, bodyOf(form), event.submitter);
});

/* Say what is wrong with a field where it stands; true where nothing is. */
function check(field) {
  unmark(field);
  if (field.validity?.valid ?? true) return true;
  stand(field, complaint(field));
  return false;
}

function complaint(field) {
  const { validity: v } = field;
  if (v.valueMissing) return t("js.error.missing");
  if (v.rangeUnderflow) return t("js.error.greater_than_equal", { limit: field.min });
  if (v.rangeOverflow) return t("js.error.less_than_equal", { limit: field.max });
  if (v.patternMismatch) return field.title || t("js.error.value_error");
  if (v.tooLong) return t("js.error.string_too_long", { limit: field.maxLength });
  return t(v.badInput || v.stepMismatch ? "js.error.number" : "js.error.value_error");
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-api]");
  if (!button) return;
  event.preventDefault();
  if (!button.dataset.sure || confirm(button.dataset.sure)) {
    submit(button, JSON.parse(button.dataset.body ?? "{}"), button);
  }
});
document.addEventListener("click", (event) => event.target.closest("[data-print]") && window.print());
document.addEventListener("click", (event) => {
  const more = event.target.closest("[data-more]");
  if (!more) return;
  const rows = more.closest("fieldset").querySelectorAll(".row-of");
  const row = rows[rows.length - 1].cloneNode(true);
  for (const field of row.querySelectorAll("[name]")) {
    field.name = field.name.replace(/\.\d+\./, `.${rows.length}.`);
    field.id = field.id.replace(/-\d+-/, `-${rows.length}-`);
    if (field.type === "checkbox") field.checked = field.defaultChecked = false;
    else field.value = "";
    unmark(field);
  }
  for (const label of row.querySelectorAll("label[for]")) label.htmlFor = label.htmlFor.replace(/-\d+-/, `-${rows.length}-`);
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
  sessionStorage.setItem(SAID, source.dataset.done ?? "saved");
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

async function refused(form, status, told) {
  keys.delete(form);
  if (status === 412 && form.dataset.thing) {
    const { meet } = await import("./merge.js");
    return meet(form);
  }
  if (status === 412 || status === 409) say(told.detail ?? t("js.changed"), "bad");
  else say(t("js.failed", { why: told.errors?.length ? t("js.see_fields") : told.detail }), "bad");
  const first = (told.errors ?? pointed(told)).map((error) => mark(form, error)).find(Boolean);
  first?.focus();
}

/* Some refusals name their field in the sentence alone: `/body/ends_at: has to come ...`. */
function pointed({ detail = "" }) {
  const found = /^(\/body[^:]*): (.*)$/s.exec(detail);
  return found ? [{ pointer: found[1], detail: found[2] }] : [];
}

/* The server's sentence, in the page's language where it has one. */
function worded({ code, limit, detail }) {
  const key = `js.error.${code}`;
  return data.messages[key] && !(key.endsWith("value_error")) ? t(key, { limit }) : detail;
}

function mark(form, error) {
  const name = error.pointer.replace(/^\/body\/?/, "").replaceAll("/", ".");
  const inRow = (one) => one && (one === name || one.startsWith(`${name}.`));
  const field = [...(form.elements ?? [])].find((one) => inRow(one.name))
    ?? form.querySelector?.(`[name^="${name.split(".")[0]}"]`);
  if (field) stand(field, worded(error));
  return field;
}

function stand(field, text) {
  const why = h("span", { class: "field-error", id: `why-${field.name}` }, text);
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", why.id);
  (field.closest(".field, .tick") ?? field).append(why);
  if (!why.isConnected || why.parentElement === field) field.after(why);
}

function unmark(field) {
  document.getElementById(`why-${field.name}`)?.remove();
  field.removeAttribute("aria-invalid");
  if (field.getAttribute("aria-describedby")?.startsWith("why-")) field.removeAttribute("aria-describedby");
}

function clear(form) {
  for (const error of form.querySelectorAll(".field-error")) error.remove();
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

export function bodyOf(form) {
  const body = JSON.parse(form.dataset.body ?? "{}");
  for (const field of form.elements) {
    if (!field.name || field.disabled || (field.type === "radio" && !field.checked)) continue;
    if (field.dataset.member !== undefined) {
      if (field.checked) add(body, field.name.split("."), field.dataset.type === "number" ? Number(field.value) : field.value);
      continue;
    }
    const value = valueOf(field);
    if (value !== undefined) set(body, field.name.split("."), value);
  }
  return complete(prune(body), JSON.parse(form.dataset.each ?? "{}"));
}

/* What every row of a list has beside what is typed. */
function complete(body, each) {
  for (const [part, more] of Object.entries(each)) body[part] = (body[part] ?? []).map((row) => ({ ...row, ...more }));
  return body;
}

function add(body, path, value) {
  const last = path.at(-1);
  const holder = path.slice(0, -1).reduce((at, part) => (at[part] ??= {}), body);
  (holder[last] ??= []).push(value);
}

export function valueOf(field) {
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
export function inZone(text) {
  const guess = Date.parse(`${text}Z`);
  const parts = Object.fromEntries(new Intl.DateTimeFormat("en-GB", {
    timeZone: data.zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  }).formatToParts(guess).map((part) => [part.type, part.value]));
  const there = Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute);
  return new Date(guess - (there - guess)).toISOString();
}

const said = sessionStorage.getItem(SAID);
if (said) {
  sessionStorage.removeItem(SAID);
  const notice = say(t(`js.${said}`), "good");
  const undo = said === "saved" && document.querySelector("button[data-undo]");
  if (undo) notice.append(" ", h("button", { onclick: () => undo.click() }, undo.textContent));
}
