// The geometry of charts: scales, ticks, lines and bands over time. Drawing is the views' part.

export interface Point {
    x: number;
    y: number;
}

/** The least round number that is not below. */
export function ceiling(value: number): number {
    if (!(value > 0) || !Number.isFinite(value)) return 1;
    const power = 10 ** Math.floor(Math.log10(value));
    for (const step of [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]) {
        // A hair below, for powers of ten are not exact.
        if (step * power >= value * (1 - 1e-9)) return step * power;
    }
    return 10 * power;
}

const STEPS = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600, 2_592_000,
];

/** Round moments between two, in milliseconds, at most so many; `zone`: minutes that local time is behind UTC. */
export function moments(since: number, until: number, most: number, zone = 0): number[] {
    const span = until - since;
    if (!(span > 0) || most < 1) return [];
    const step = (STEPS.find((seconds) => span / (seconds * 1000) <= most) ?? Math.ceil(span / most / 86_400_000) * 86_400) * 1000;
    const shift = zone * 60_000;
    const found: number[] = [];
    for (let at = Math.ceil((since - shift) / step) * step + shift; at <= until; at += step) found.push(at);
    return found.slice(0, most);
}

/** A line with gaps where nothing is known. A lonely point becomes a dash, or it would not be seen. */
export function line(points: (Point | null)[], dash = 2): string {
    return runs(points)
        .map((run) => {
            const only = run.length === 1 ? run[0]! : null;
            if (only) return `M${at(only.x - dash, only.y)}L${at(only.x + dash, only.y)}`;
            return run.map((point, index) => `${index ? "L" : "M"}${at(point.x, point.y)}`).join("");
        })
        .join("");
}

/** What lies between two lines, where both are known. */
export function band(lower: (Point | null)[], upper: (Point | null)[], dash = 2): string {
    const both = lower.map((low, index) => {
        const high = upper[index];
        return low && high ? { x: low.x, y: low.y, high: high.y } : null;
    });
    return runs(both)
        .map((run) => {
            const only = run.length === 1 ? run[0]! : null;
            const wide = only ? [{ ...only, x: only.x - dash }, { ...only, x: only.x + dash }] : run;
            const there = wide.map((point, index) => `${index ? "L" : "M"}${at(point.x, point.high)}`);
            const back = [...wide].reverse().map((point) => `L${at(point.x, point.y)}`);
            return `${there.join("")}${back.join("")}Z`;
        })
        .join("");
}

/** Points of values over equal widths, in the middle of each; the top of the box is `top`, its bottom is 0. */
export function points(values: (number | null)[], width: number, height: number, top: number): (Point | null)[] {
    const step = width / Math.max(values.length, 1);
    return values.map((value, index) => {
        if (value === null || !Number.isFinite(value)) return null;
        const part = Math.min(Math.max(value / top, 0), 1);
        return { x: (index + 0.5) * step, y: height - part * height };
    });
}

/** The greatest that is known, 0 of none. */
export function greatest(values: (number | null)[]): number {
    return values.reduce<number>((most, value) => (value !== null && value > most ? value : most), 0);
}

function runs<T extends Point>(points: (T | null)[]): T[][] {
    const found: T[][] = [];
    let open: T[] | null = null;
    for (const point of points) {
        if (!point) open = null;
        else if (open) open.push(point);
        else found.push((open = [point]));
    }
    return found;
}

function at(x: number, y: number): string {
    return `${round(x)} ${round(y)}`;
}

function round(value: number): number {
    return Math.round(value * 10) / 10;
}
