/* What a card says: pure functions of an alert and the time. */

import { data, t } from "./dom.js";

const URGENCY = ["critical", "high", "medium", "trouble"];
const ICONS = {
  fall: "fall", stillness: "fall", sos: "sos", smoke: "smoke", gas: "gas", water: "water",
  inactivity: "clock", no_return: "clock", wandering: "clock", not_up: "clock", night_trips: "clock",
  routine: "clock", welfare: "clock", neighbourhood: "clock", sensors_silent: "trouble", sensor_silent: "trouble", device: "trouble", platform: "trouble",
  unreadable_alarm: "trouble", outage: "trouble", rota: "trouble",
};
const clock = new Intl.DateTimeFormat(data.language, {
  timeZone: data.zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

export const timeOfDay = (moment) => clock.format(moment);
export const iconOf = (alert) => ICONS[alert.kind] ?? "alert";
export const isOpen = (alert) => !["resolved", "reviewed"].includes(alert.state);
export const isHeld = (alert) => ["acknowledged", "attending", "fallback_owned"].includes(alert.state);
export const listOf = (alert) =>
  isHeld(alert) ? "held" : alert.state === "silenced" ? "resting" : "waiting";

/* The most urgent first, then the oldest. */
export function inOrder(a, b) {
  return URGENCY.indexOf(a.priority) - URGENCY.indexOf(b.priority)
    || Date.parse(a.raised_at) - Date.parse(b.raised_at) || (a.id < b.id ? -1 : 1);
}

export function age(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return t("js.seconds", { s: seconds });
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return t("js.minutes", { m: minutes, s: String(seconds % 60).padStart(2, "0") });
  return t("js.hours", { h: Math.floor(minutes / 60), m: String(minutes % 60).padStart(2, "0") });
}

export function place(alert) {
  const { estate_name: estate, building, zone_name: zone, floor } = alert.place;
  const parts = [estate, building, zone].filter(Boolean);
  if (!zone && floor !== null) parts.push(t("js.floor", { floor }));
  return parts.join(" · ") || t("js.unknown_place");
}

export const who = (alert) => alert.resident?.name ?? null;
export const headline = (alert) => [t(`kind.${alert.kind}`), who(alert)].filter(Boolean).join(" · ");
export const sentence = (alert) => alert.summary[data.language.slice(0, 2)] ?? alert.summary.en ?? "";

/* The holder's offer to a colleague, while it stands. */
export const offerOf = (alert) =>
  alert.offer && Date.parse(alert.offer.until) > Date.now() ? alert.offer : null;
export const offeredToMe = (alert) => offerOf(alert)?.to.actor === data.me;
export const isMine = (alert) => alert.holder?.actor === data.me;

export function holder(alert) {
  if (!alert.holder) return null;
  const name = isMine(alert) ? t("js.you") : t("js.by", { name: alert.holder.name });
  const offer = offerOf(alert);
  return offer ? t("js.offered", { name, to: offeredToMe(alert) ? t("js.you") : offer.to.name }) : name;
}
