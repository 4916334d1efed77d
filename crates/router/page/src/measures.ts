// Timers and counters over time: one stretch of time after the other is asked for, the latest first, and what is past
// is not asked for again.

import { get } from "./api";
import { type Json, type Tree } from "./json";
import { compose } from "./query";

export type Kind = "timer" | "counter";

/** What there is of one name and logger in a stretch of time. */
export interface Measure {
    kind: Kind;
    logger: string;
    name: string;
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

/** What was counted in one stretch. */
export interface Counted {
    measures: Map<string, Measure>;
    /** Time was up before all had been counted. */
    partial: boolean;
    unnamed: number;
    unreadable: number;
}

export async function count(query: string, since: number, until: number, signal: AbortSignal): Promise<Counted> {
    const bounds = { since: new Date(since).toISOString(), until: new Date(until).toISOString() };
    const asked = `${compose(query, bounds)} (type:timer OR type:counter)`;
    return read(await get<Tree>("/v1/messages/tally", { query: asked, measures: true, deadline: "20s" }, signal));
}

const number = (value: Json | undefined): number => Number(String(value ?? 0));

/** What a tally says. */
export function read(tally: Tree): Counted {
    const of = (kind: Kind, rows: Json | undefined): Measure[] =>
        ((rows ?? []) as Tree[]).map((row) => ({
            kind,
            logger: String(row["logger"]),
            name: String(row["name"]),
            count: number(row["count"]),
            rate: number(row["per_second"]),
            total: number(kind === "timer" ? row["total"] : row["sum"]),
            p50: number(row["p50"]),
            p90: number(row["p90"]),
            p99: number(row["p99"]),
            max: number(row["max"]),
        }));
    const all = [...of("timer", tally["timers"]), ...of("counter", tally["counters"])];
    return {
        measures: new Map(all.map((measure) => [keyOf(measure), measure])),
        partial: tally["partial"] === true,
        unnamed: number(tally["unnamed"]),
        unreadable: number(tally["unreadable"]),
    };
}

/** Slots asked for at once: the router works on four questions at a time, and others ask too. */
const AT_ONCE = 3;

/** Slots of one query, kept. */
export class Slots {
    private readonly known = new Map<number, Counted>();

    constructor(
        private readonly query: string,
        private readonly ask: typeof count = count,
    ) {}

    at(start: number): Counted | undefined {
        return this.known.get(start);
    }

    /** How the values of a measure went. Where nothing was there a counter stood still; of a timer nothing is known. */
    course(reach: Reach, key: string, value: (measure: Measure) => number): (number | null)[] {
        const still = key.startsWith('["counter"');
        return reach.starts.map((start) => {
            const counted = this.known.get(start);
            const measure = counted?.measures.get(key);
            if (measure) return value(measure);
            return counted && still ? 0 : null;
        });
    }

    /** Fills what is missing, the latest first; the latest two once more, for messages that came late. */
    async fill(reach: Reach, now: number, each: () => void, signal: AbortSignal): Promise<void> {
        const wanted = new Set(reach.starts);
        for (const start of this.known.keys()) if (!wanted.has(start)) this.known.delete(start);
        const latest = reach.starts.slice(-2);
        const left = reach.starts.filter((start) => latest.includes(start) || !this.known.has(start)).reverse();
        const worker = async (): Promise<void> => {
            for (let start = left.shift(); start !== undefined; start = left.shift()) {
                const counted = await this.ask(this.query, start, Math.min(start + reach.width, Math.max(now, start + 1)), signal);
                this.known.set(start, counted);
                each();
            }
        };
        await Promise.all(Array.from({ length: AT_ONCE }, worker));
    }
}
