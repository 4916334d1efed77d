// What the router says of its pipeline, and what follows from it.

import type { Icon } from "./icons";
import type { Digits } from "./json";
import type { Counts } from "./rates";

export interface Input {
    name: string;
    type: string;
    place: string | null;
    counts: InputCounts;
    unaccounted: number;
}

export interface InputCounts {
    received: number;
    accepted: number;
    unwanted?: number;
    duplicates: number;
    refused: Counts;
    lost?: number;
    turned_away?: number;
}

export interface Filter {
    name: string;
    type: string;
    of: string[];
}

export type State = "delivering" | "waiting" | "retrying" | "paused" | "held";

export interface Endpoint {
    name: string;
    type: string;
    required: boolean;
    from_inputs: string[] | null;
    severity_max: number | null;
    types: string[] | null;
    filters: string[];
    alerts: boolean;
    state: State;
    last_error: string | null;
    last_error_at?: string | null;
    retry_in_ms: number | null;
    accepted: number;
    filtered: number;
    delivered: number;
    dead_lettered: number;
    dropped: Counts;
    buffered: number;
    oldest_ms: number | null;
    redelivered: number;
    failures: number;
    unaccounted: number;
    is_store: boolean;
    /** A period that is being sent once more. */
    again?: { messages: number; counted: boolean; done: number } | null;
}

export interface Spool {
    bytes: number;
    max_bytes: number;
    free: number | null;
    full_in_s: number | null;
    /** Ids may have more digits than a double. */
    next_id: number | Digits;
    durable_id: number | Digits;
    oldest_id?: number | Digits;
    sync_ms: number | null;
    error?: string | null;
}

export interface Pipeline {
    started: string;
    now: string;
    version: string;
    inputs: Input[];
    filters: Filter[];
    edits: string[];
    endpoints: Endpoint[];
    spool: Spool;
    clients: { tracked: number; untracked: number; lost: number; duplicates: number };
    unaccounted: number;
    reloads: { applied: number; refused: number };
}

/** One number of a sum, and what it counts. */
export interface Term {
    count: number;
    what: string;
}

/** `left` = the sum of `right` + `remainder`. */
export interface Law {
    left: Term;
    right: Term[];
    remainder: number;
}

/** What must be true of an input. What was lost on the way or not let in never was received, so it is no part. */
export function lawOfInput({ counts, unaccounted }: Input): Law {
    return {
        left: { count: counts.received, what: "received" },
        right: [
            { count: counts.accepted, what: "accepted" },
            { count: counts.duplicates, what: "duplicates" },
            ...reasons("refused", counts.refused),
        ],
        remainder: unaccounted,
    };
}

/** What must be true of an endpoint. */
export function lawOfEndpoint(endpoint: Endpoint): Law {
    return {
        left: { count: endpoint.accepted, what: "accepted" },
        right: [
            { count: endpoint.delivered, what: "delivered" },
            { count: endpoint.filtered, what: "filtered" },
            { count: endpoint.dead_lettered, what: "dead letters" },
            ...reasons("dropped", endpoint.dropped),
            { count: endpoint.buffered, what: "waiting" },
        ],
        remainder: endpoint.unaccounted,
    };
}

/** Every reason that there was, or a nought that says there was none. */
function reasons(what: string, counts: Counts): Term[] {
    const some = Object.entries(counts).filter(([, count]) => count !== 0);
    if (some.length === 0) return [{ count: 0, what }];
    return some.map(([reason, count]) => ({ count, what: `${what}: ${reason.replaceAll("_", " ")}` }));
}

/** The sum of all reasons. */
export function sum(counts: Counts): number {
    return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** What an endpoint takes, condition by condition; of none, everything. */
export function conditions(endpoint: Endpoint, filters: Filter[]): string[] {
    const found: string[] = [];
    if (endpoint.from_inputs) found.push(`from ${endpoint.from_inputs.join(", ")}`);
    if (endpoint.severity_max !== null && endpoint.severity_max < 7) found.push(`severity ≤ ${endpoint.severity_max}`);
    if (endpoint.types) found.push(`type ${endpoint.types.join(", ")}`);
    for (const name of endpoint.filters) found.push(filterText(name, filters));
    return found;
}

function filterText(name: string, filters: Filter[]): string {
    const filter = filters.find((filter) => filter.name === name);
    return filter && filter.of.length > 0 ? `${name}: ${filter.type} of ${filter.of.join(", ")}` : name;
}

/** How bad something is. Never told by colour alone. */
export type Level = "good" | "idle" | "warn" | "bad";

/** Each state with a sign of its own and what it means. */
export const STATES: Record<State, { sign: Icon; level: Level; means: string }> = {
    delivering: { sign: "play", level: "good", means: "takes what is meant for it" },
    waiting: { sign: "circle", level: "idle", means: "has everything and waits for more" },
    retrying: { sign: "again", level: "warn", means: "failed and tries again by itself" },
    held: { sign: "halt", level: "bad", means: "refuses us, so nothing is tried until somebody has looked" },
    paused: { sign: "pause", level: "warn", means: "paused by hand" },
};

/** How bad it is that the spool will be full: a night is enough to do something about it, four hours are not. */
export function fullLevel(spool: Spool): Level {
    const part = spool.max_bytes > 0 ? spool.bytes / spool.max_bytes : 0;
    const hours = spool.full_in_s === null ? Infinity : spool.full_in_s / 3600;
    if (part >= 0.9 || hours < 4) return "bad";
    return part >= 0.7 || hours < 24 ? "warn" : "good";
}

/** Without numbers that change all the time: it is read out loud when it changes. */
function filling({ bytes, max_bytes, full_in_s }: Spool): string {
    if (full_in_s !== null && full_in_s < 4 * 3600) return "the spool will be full within four hours";
    if (bytes >= 0.9 * max_bytes) return "the spool is nearly full";
    return full_in_s !== null && full_in_s < 24 * 3600 ? "the spool will be full within a day" : "the spool is filled to more than 70 %";
}

/** The counters whose rates the drawing shows. Names of inputs and endpoints are apart, whatever they are. */
export function flows(pipeline: Pipeline): Counts {
    const counts: Counts = {};
    for (const { name, counts: of } of pipeline.inputs) counts[`in ${name}`] = of.received;
    for (const endpoint of pipeline.endpoints) {
        counts[`meant ${endpoint.name}`] = endpoint.accepted - endpoint.filtered;
        counts[`out ${endpoint.name}`] = endpoint.delivered;
    }
    counts["in"] = pipeline.inputs.reduce((sum, input) => sum + input.counts.accepted, 0);
    return counts;
}

/** What is wrong, the worst first; of nothing, nothing. */
export function troubles(pipeline: Pipeline): { level: Level; text: string }[] {
    const found: { level: Level; text: string }[] = [];
    if (pipeline.unaccounted !== 0) {
        found.push({ level: "bad", text: `${pipeline.unaccounted} messages are unaccounted for: a mistake of ours, please report it` });
    }
    for (const { name, state, last_error } of pipeline.endpoints) {
        if (state === "held" || state === "retrying") {
            found.push({ level: STATES[state].level, text: `${name} is ${state}${last_error ? `: ${last_error}` : ""}` });
        }
        if (state === "paused") found.push({ level: "warn", text: `${name} is paused` });
    }
    if (pipeline.spool.error) found.push({ level: "bad", text: `the spool: ${pipeline.spool.error}` });
    const level = fullLevel(pipeline.spool);
    if (level === "bad" || level === "warn") found.push({ level, text: filling(pipeline.spool) });
    if (pipeline.clients.lost > 0) found.push({ level: "warn", text: "messages were lost on the way to us" });
    return found.sort((one, other) => Number(other.level === "bad") - Number(one.level === "bad"));
}
