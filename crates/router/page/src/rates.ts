// Rates out of counters that only grow, as two looks at them tell.

/** Counters of one moment, by name. */
export type Counts = Record<string, number>;

interface Look {
    at: number;
    counts: Counts;
}

/** Remembers looks for a while. */
export class Rates {
    private looks: Look[] = [];
    private run = "";

    /** `window`: milliseconds that a rate speaks of; `memory`: looks kept for a course. */
    constructor(private readonly window = 5000, private readonly memory = 61) {}

    /** A look at milliseconds `at`. Another `run` of the process begins at 0, so what was before says nothing. */
    take(at: number, counts: Counts, run = this.run): void {
        const last = this.looks.at(-1);
        if (run !== this.run || (last && at <= last.at)) this.looks = [];
        this.run = run;
        this.looks.push({ at, counts });
        this.looks.splice(0, this.looks.length - this.memory);
    }

    /** In a second, over the window; null before there are two looks that agree. */
    of(name: string): number | null {
        const last = this.looks.at(-1);
        if (!last) return null;
        // The oldest inside the window, or the one before the last: a page in the background is woken rarely.
        const inside = this.looks.findIndex((look) => last.at - look.at <= this.window);
        const first = this.looks[Math.min(inside, this.looks.length - 2)];
        return first ? between(first, last, name) : null;
    }

    /** From each look to the next, oldest first; what is not known is null. */
    course(name: string): (number | null)[] {
        return this.looks.slice(1).map((look, at) => between(this.looks[at]!, look, name));
    }
}

function between(first: Look, last: Look, name: string): number | null {
    const [from, to] = [first.counts[name], last.counts[name]];
    const seconds = (last.at - first.at) / 1000;
    if (from === undefined || to === undefined || to < from || !(seconds > 0)) return null;
    return (to - from) / seconds;
}
