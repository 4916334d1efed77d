// Queries as text: what stands in the box, the stretch of time beside it, and the filters that clicks add.

import { get } from "./api";
import { type Json, text } from "./json";

/** A stretch of time: `since` is `15m`, `1h` and so on, or a moment; `until` is a moment. Empty: no bound. */
export interface Range {
    since: string;
    until: string;
}

export const RANGES: readonly (readonly [string, string])[] = [
    ["5m", "last 5 minutes"], ["15m", "last 15 minutes"], ["1h", "last hour"], ["6h", "last 6 hours"], ["1d", "last day"],
    ["7d", "last 7 days"], ["30d", "last 30 days"], ["", "all time"],
];

export function rangeName(range: Range): string {
    return (!range.until && RANGES.find(([since]) => since === range.since)?.[1]) || "chosen time";
}

/** Both as one query. */
export function compose(query: string, range: Range): string {
    const bounds = [range.since && `since:${range.since}`, range.until && `until:${range.until}`].filter(Boolean).join(" ");
    const own = query.trim();
    return own && bounds ? `(${own}) ${bounds}` : own || bounds;
}

/** How far `compose` has moved what stands in the box. */
export function moved(query: string, range: Range): number {
    return query.trim() && (range.since || range.until) ? 1 - (query.length - query.trimStart().length) : 0;
}

/** Throws what is wrong with a query that, with a stretch of time put around it, would mean something else. */
export async function check(query: string, signal: AbortSignal): Promise<void> {
    if (/[()]/.test(query)) await get("/v1/messages", { query, limit: 1, deadline: "1ms" }, signal);
}

export function quoted(value: string): string {
    return `"${value.replace(/[\\"]/g, "\\$&")}"`;
}

/** A value as a query writes it. */
export function literal(value: string): string {
    return /^[\p{L}\p{N}_.@/+-]+$/u.test(value) ? value : quoted(value);
}

/** The words and phrases that a payload must have, as far as one sees that without understanding the query. */
export function words(query: string): string[] {
    const found: string[] = [];
    let without = false;
    // A condition with an operator in it is about a field.
    for (const [token] of query.matchAll(/-?(?:"(?:[^"\\]|\\.)*"|[^\s()"])+/g)) {
        const phrase = /^"((?:[^"\\]|\\.)*)"\*?$/.exec(token)?.[1]?.replace(/\\(.)/g, "$1");
        const word = phrase ?? (/^-|[:=<>~"]|^(?:OR|AND|NOT)$/.test(token) ? "" : token.replace(/\*$/, ""));
        if (word && !without) found.push(word.toLowerCase());
        without = token === "NOT";
    }
    return found;
}

const ENVELOPE = [
    "type", "severity", "logger", "timestamp", "payload", "env_version", "metlog_pid", "metlog_hostname", "metlog_client",
    "metlog_seq", "via",
];

/** The name of a place in a message, given by its steps; null where a query cannot name it. */
export function pathOf(steps: readonly string[]): string | null {
    if (steps.some((step) => step === "" || step.split(".").includes(""))) return null;
    const [first = ""] = steps;
    const path = steps.join(".");
    const whole = first === "fields" || ENVELOPE.includes(first) ? path : `.${path}`;
    return /^[\p{L}\p{N}_.-]+$/u.test(whole) && !whole.startsWith("-") ? whole : quoted(whole);
}

/** The condition that a value stands at a path. */
export function term(path: string, value: Json): string {
    if (value === null || value === "") return value === "" ? `${path}=""` : `-has:${path}`;
    return `${path}=${literal(text(value))}`;
}

/** A query with one more condition; one that is there already is taken out, its opposite replaced. */
export function toggled(query: string, condition: string, out: boolean): string {
    const opposite = (of: string): string => (of.startsWith("-") ? of.slice(1) : `-${of}`);
    const wanted = out ? opposite(condition) : condition;
    const without = (from: string, one: string): string | null => {
        const at = ` ${from} `.indexOf(` ${one} `);
        return at < 0 ? null : `${from.slice(0, at)}${from.slice(at + one.length)}`.replace(/ {2,}/g, " ").trim();
    };
    const gone = without(query, wanted);
    if (gone !== null) return gone;
    const rest = (without(query, opposite(wanted)) ?? query).trim();
    if (!rest) return wanted;
    return `${/(^|[\s)])OR[\s(]/.test(rest) ? `(${rest})` : rest} ${wanted}`;
}
