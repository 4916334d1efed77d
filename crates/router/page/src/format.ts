// Numbers as people read them. Everything here is pure; nothing rounds a small trouble to none.

const GROUPED = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SCALES: [number, string][] = [[1e12, " T"], [1e9, " G"], [1e6, " M"], [1e3, " k"]];
const BINARY: [number, string][] = [[2 ** 40, " TiB"], [2 ** 30, " GiB"], [2 ** 20, " MiB"], [2 ** 10, " KiB"]];
const NONE = "–";

/** Every digit: sums must be checkable by eye. */
export function whole(count: number | null | undefined): string {
    return known(count) ? GROUPED.format(count) : NONE;
}

/** Three digits that count, and a scale: `1.23 k`. */
export function short(value: number | null | undefined): string {
    return known(value) ? scaled(value, SCALES, "") : NONE;
}

/** What happens in a second: `12.3 k/s`. */
export function perSecond(rate: number | null | undefined): string {
    return known(rate) ? `${short(rate)}/s` : NONE;
}

export function bytes(count: number | null | undefined): string {
    return known(count) ? scaled(count, BINARY, " B") : NONE;
}

/** A length of time given in milliseconds: `0.25 ms`, `3.2 s`, `2 h 5 min`. */
export function span(ms: number | null | undefined): string {
    if (!known(ms)) return NONE;
    const size = Math.abs(ms);
    if (size < 999.5) return `${digits(ms)} ms`;
    if (size < 59_500) return `${(ms / 1000).toFixed(size < 9950 ? 1 : 0)} s`;
    const units: [number, string][] = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
    // Rounded to the smaller of the two units that are told, so that 60 of it never stand there.
    const seconds = Math.round(size / 1000);
    const rounded = seconds >= 86_400 ? tidy(seconds, 3600) : seconds >= 3600 ? tidy(seconds, 60) : seconds;
    const first = units.findIndex(([unit]) => rounded >= unit);
    const told = units.slice(first, first + 2).map(([unit, name], at, pair) => {
        const above = at === 0 ? Infinity : pair[0]![0];
        return [Math.floor((rounded % above) / unit), name] as const;
    });
    const text = told.filter(([count]) => count > 0).map(([count, name]) => `${count} ${name}`).join(" ");
    return ms < 0 ? `−${text}` : text;
}

/** A part of a whole: `12 %`, and never `0 %` or `100 %` of what is not. */
export function percent(part: number, of: number): string {
    if (!(of > 0)) return NONE;
    const exact = (part / of) * 100;
    if (part > 0 && exact < 1) return "< 1 %";
    if (part < of && exact > 99) return "> 99 %";
    return `${Math.round(exact)} %`;
}

/** `1 message`, `2 messages`. */
export function plural(count: number, one: string, many = `${one}s`): string {
    return `${whole(count)} ${count === 1 ? one : many}`;
}

/** At most so many characters, of which the last says that there are more. */
export function cut(text: string, most: number): string {
    const symbols = Array.from(text);
    return symbols.length <= most ? text : `${symbols.slice(0, Math.max(0, most - 1)).join("")}…`;
}

function known(value: number | null | undefined): value is number {
    return typeof value === "number" && Number.isFinite(value);
}

function tidy(value: number, to: number): number {
    return Math.round(value / to) * to;
}

function scaled(value: number, scales: [number, string][], unit: string): string {
    const size = Math.abs(value);
    for (const [at, [scale, name]] of scales.entries()) {
        // What would be rounded to 1000 belongs to the scale above; 1024 has no such step.
        if (size < scale * 0.9995) continue;
        const above = scales[at - 1];
        if (above && size / scale >= above[0] / scale) continue;
        return `${digits(value / scale)}${name}`;
    }
    return `${unit === " B" ? Math.round(value) : digits(value)}${unit}`;
}

function digits(value: number): string {
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 99.95) return value.toFixed(0);
    if (size >= 9.995) return trimmed(value.toFixed(1));
    if (size >= 0.01) return trimmed(value.toFixed(2));
    return value > 0 ? "< 0.01" : value.toPrecision(1);
}

function trimmed(text: string): string {
    return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
