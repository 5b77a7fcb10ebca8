/** Numbers, times and amounts as people read them. */

import type { Timestamp } from "@bufbuild/protobuf/wkt";

const COUNT = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });

export function count(number: number | bigint): string {
  return COUNT.format(number);
}

export function compact(number: number | bigint): string {
  return COMPACT.format(number);
}

export function items(number: number): string {
  return number === 1 ? "1 item" : `${count(number)} items`;
}

export function percent(share: number): string {
  const shown = share * 100;
  if (shown > 0 && shown < 1) return "<1 %";
  return `${Math.floor(shown + 1e-9)} %`;
}

export function milliseconds(time: Timestamp): number {
  return Number(time.seconds) * 1000 + time.nanos / 1e6;
}

export function moment(time: Timestamp): string {
  return MOMENT.format(milliseconds(time));
}

/** A day as the contract writes it, such as `2026-01-31`. */
export function day(written: string): string {
  return DAY.format(new Date(`${written}T00:00:00Z`));
}

/** How long something took, with two units at the most. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return withRest(minutes, "min", Math.round(seconds % 60), "s");
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return withRest(hours, "h", minutes % 60, "min");
  return withRest(Math.floor(hours / 24), "d", hours % 24, "h");
}

function withRest(whole: number, unit: string, rest: number, restUnit: string): string {
  return rest === 0 || rest >= 60 ? `${whole} ${unit}` : `${whole} ${unit} ${rest} ${restUnit}`;
}

export function ago(time: Timestamp, now: number): string {
  const passed = now - milliseconds(time);
  if (passed < 5_000) return "just now";
  const seconds = passed / 1000;
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} d ago`;
}

export function bytes(size: number | bigint): string {
  let rest = Number(size);
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (rest < 1000) return `${rest < 10 && unit !== "B" ? rest.toFixed(1) : Math.round(rest)} ${unit}`;
    rest /= 1000;
  }
  return `${rest.toFixed(1)} TB`;
}

export function rate(perSecond: number): string {
  if (perSecond <= 0) return "–";
  if (perSecond < 1) return `${count(Math.round(perSecond * 60))} / min`;
  return `${perSecond < 10 ? perSecond.toFixed(1) : count(Math.round(perSecond))} / s`;
}

export function shortId(batchId: string): string {
  return batchId.slice(-12);
}
