// Timers and counters over time, all of them in one question.

import { get } from "./api";
import { type Json, type Tree } from "./json";
import { compose } from "./query";

export type Kind = "timer" | "counter";

/** What there is of a timer or counter in a stretch of time. */
export interface Amount {
    count: number;
    /** What came together in a second: of a timer how often it ran, of a counter its sum. */
    rate: number;
    /** How often a timer ran, what a counter came to. */
    total: number;
    /** Of timers, in milliseconds. */
    p50: number;
    p90: number;
    p99: number;
    max: number;
}

/** All that was asked for of one name and logger. */
export interface Measure extends Amount {
    kind: Kind;
    logger: string;
    name: string;
    /** Slot by slot; null where it was not there. */
    course: (Amount | null)[];
}

/** A stretch of time, cut into equal slots at round moments. */
export interface Reach {
    width: number;
    starts: number[];
}

/** What can be looked at: so many slots of so many seconds. */
export const REACHES: Readonly<Record<string, { says: string; seconds: number; slots: number }>> = {
    "15m": { says: "last 15 minutes", seconds: 30, slots: 30 },
    "1h": { says: "last hour", seconds: 120, slots: 30 },
    "6h": { says: "last 6 hours", seconds: 600, slots: 36 },
    "1d": { says: "last day", seconds: 1800, slots: 48 },
    "7d": { says: "last 7 days", seconds: 21_600, slots: 28 },
    "30d": { says: "last 30 days", seconds: 86_400, slots: 30 },
};

export function reach(seconds: number, slots: number, now: number): Reach {
    const width = seconds * 1000;
    const last = Math.floor(now / width) * width;
    return { width, starts: Array.from({ length: slots }, (_, at) => last - (slots - 1 - at) * width) };
}

export const keyOf = ({ kind, logger, name }: { kind: Kind; logger: string; name: string }): string => JSON.stringify([kind, logger, name]);

/** What was counted. */
export interface Counted {
    reach: Reach;
    measures: Map<string, Measure>;
    /** The first slot of which is known what was in it; not the first if time or room was up before. */
    known: number;
    /** Time was up before all had been counted. */
    partial: boolean;
    /** There was more than a course has room for. */
    cut: boolean;
    unnamed: number;
    unreadable: number;
}

export async function count(query: string, reach: Reach, now: number, signal: AbortSignal): Promise<Counted> {
    const [first = now, last = now] = [reach.starts[0], reach.starts.at(-1)];
    const bounds = { since: new Date(first).toISOString(), until: new Date(last + reach.width).toISOString() };
    const asked = `${compose(query, bounds)} (type:timer OR type:counter)`;
    const params = { query: asked, measures: true, courses: true, buckets: reach.starts.length, deadline: "20s" };
    // One series would do; none is not to be had.
    return read(await get<Tree>("/v1/messages/tally", { ...params, top: 1 }, signal), reach, now);
}

const number = (value: Json | undefined): number => Number(String(value ?? 0));
const list = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

/** What a tally says. The last slot is still open: it ends `now`, or its rates would be too low. */
export function read(tally: Tree, reach: Reach, now: number): Counted {
    const seconds = (from: number, until: number): number => Math.max((Math.min(until, now) - from) / 1000, 1);
    const amount = (kind: Kind, row: (name: string) => Json | undefined, over: number): Amount => {
        const total = number(row(kind === "timer" ? "total" : "sum"));
        const [p50, p90, p99, max] = [number(row("p50")), number(row("p90")), number(row("p99")), number(row("max"))];
        return { count: number(row("count")), rate: total / over, total, p50, p90, p99, max };
    };
    const first = reach.starts[0] ?? now;
    const whole = seconds(first, first + reach.width * reach.starts.length);
    const of = (kind: Kind, rows: Json | undefined): Measure[] =>
        (list(rows) as Tree[]).map((row) => {
            const columns = (row["course"] ?? {}) as Tree;
            const course: (Amount | null)[] = reach.starts.map(() => null);
            list(columns["bucket"]).forEach((bucket, at) => {
                const start = reach.starts[number(bucket)];
                if (start === undefined) return;
                course[number(bucket)] = amount(kind, (name) => list(columns[name])[at], seconds(start, start + reach.width));
            });
            return { kind, logger: String(row["logger"]), name: String(row["name"]), ...amount(kind, (name) => row[name], whole), course };
        });
    const all = [...of("timer", tally["timers"]), ...of("counter", tally["counters"])];
    const [partial, cut] = [tally["partial"] === true, tally["cut"] === true];
    // The latest are counted first, so what is before the earliest that is there is not known.
    const there = all.map(({ course }) => course.findIndex((slot) => slot !== null)).filter((at) => at >= 0);
    return {
        reach, partial, cut,
        measures: new Map(all.map((measure) => [keyOf(measure), measure])),
        known: partial || cut ? Math.min(...there, reach.starts.length) : 0,
        unnamed: number(tally["unnamed"]),
        unreadable: number(tally["unreadable"]),
    };
}

/** How the values of a measure went. Where nothing was there a counter stood still; of a timer nothing is known. */
export function course({ kind, course }: Measure, known: number, value: (amount: Amount) => number): (number | null)[] {
    return course.map((slot, at) => (slot ? value(slot) : kind === "counter" && at >= known ? 0 : null));
}
