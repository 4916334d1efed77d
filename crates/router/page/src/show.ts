// How numbers, times and severities are written.

import { span } from "./format";
import { type Json, type Tree, own, text, Digits } from "./json";

export const SEVERITIES = ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"] as const;
/** The cue that is not a colour. */
export const SHORT = ["EMRG", "ALRT", "CRIT", "ERR", "WARN", "NOTE", "INFO", "DBG"] as const;

/** 0 to 7 of what a message says; informational if it says nothing that is one. */
export function severityOf(message: Tree): number {
    const said = own(message, "severity");
    const number = typeof said === "number" ? said : Number(text(said) || 6);
    return Number.isFinite(number) ? Math.min(7, Math.max(0, Math.trunc(number))) : 6;
}

export { bytes, short as brief, span, whole as count } from "./format";

export type Clock = "relative" | "local" | "utc";
const CLOCKS: readonly Clock[] = ["local", "utc", "relative"];
let clock: Clock = CLOCKS.find((one) => one === localStorage.getItem("metlog-clock")) ?? "local";
export const clockNow = (): Clock => clock;
export function setClock(next: string | null): void {
    clock = CLOCKS.find((one) => one === next) ?? clock;
    localStorage.setItem("metlog-clock", clock);
}

const two = (number: number): string => String(number).padStart(2, "0");

/** A moment for people: `11-21 10:43:12.123456`, or how long ago. Digits behind the millisecond are kept as they came. */
export function moment(at: string, how: Clock = clock, now = Date.now()): string {
    const time = Date.parse(at);
    if (Number.isNaN(time)) return at;
    if (how === "relative") {
        const ago = now - time;
        if (Math.abs(ago) < 1000) return "just now";
        return ago > 0 ? `${span(ago)} ago` : `in ${span(-ago)}`;
    }
    const fraction = /\.(\d+)/.exec(at)?.[1] ?? "";
    const date = new Date(time);
    const [month, day, hour, minute, second] = how === "utc"
        ? [date.getUTCMonth(), date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
        : [date.getMonth(), date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()];
    return `${two(month + 1)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}.${fraction.padEnd(3, "0")}${how === "utc" ? "Z" : ""}`;
}

/** A moment on an axis: as much as its scale needs. */
export function tick(ms: number, scale: number, how: Clock = clock): string {
    const date = new Date(ms);
    const utc = how === "utc";
    const time = `${two(utc ? date.getUTCHours() : date.getHours())}:${two(utc ? date.getUTCMinutes() : date.getMinutes())}`;
    const day = `${two((utc ? date.getUTCMonth() : date.getMonth()) + 1)}-${two(utc ? date.getUTCDate() : date.getDate())}`;
    if (scale >= 2 * 864e5) return scale >= 10 * 864e5 ? day : `${day} ${time}`;
    if (scale >= 6e5) return time;
    return `${time}:${two(utc ? date.getUTCSeconds() : date.getSeconds())}`;
}

/** The line of a message in a list. */
export function line(message: Tree): string {
    const payload = text(own(message, "payload"));
    const kind = text(own(message, "type"));
    const fields = own(message, "fields");
    const name = fields && typeof fields === "object" && !Array.isArray(fields) && !(fields instanceof Digits) ? text(own(fields, "name")) : "";
    if (kind === "counter" && name) return `${name} +${payload}`;
    if (kind === "timer" && name) return `${name} ${payload} ms`;
    return payload;
}

export type { Json, Tree };
