/* Small helpers for building elements; text is always text, never HTML. */

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export const data = JSON.parse(document.getElementById("data").textContent);

/* Says a key of the catalogue; `kind.` has an `other`, as on the server. */
export function t(key, filled = {}) {
  let text = data.messages[key];
  if (text === undefined && key.startsWith("kind.")) return t("kind.other", { kind: key.slice(5) });
  for (const [name, value] of Object.entries(filled)) text = text.replace(`{${name}}`, value);
  return text;
}
