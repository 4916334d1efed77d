// JSON as messages have it: numbers beyond what a double holds keep their digits, and NaN, which JSON does not have but
// some senders write, does not blank a whole page.

/** A number in its own digits. */
export class Digits {
    constructor(readonly text: string) {}
    toString(): string {
        return this.text;
    }
}

export type Json = null | boolean | number | string | Digits | Json[] | { [name: string]: Json };
export type Tree = { [name: string]: Json };

type Context = { source?: string };

function keepDigits(this: unknown, _key: string, value: unknown, context?: Context): unknown {
    if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
    const source = context?.source;
    return source !== undefined && String(value) !== source && source.length > 15 ? new Digits(source) : value;
}

const LENIENT = /"(?:[^"\\]|\\[^])*"|-?(?:NaN|Infinity)/g;

function control(symbol: string): string {
    return `\\u${symbol.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Reads JSON, leniently where it must. */
export function parse(text: string): Json {
    // A reviver is called for every value; few texts need it.
    const reviver = /\d{16}/.test(text) ? (keepDigits as (key: string, value: unknown) => unknown) : undefined;
    try {
        return JSON.parse(text, reviver) as Json;
    } catch (error) {
        const mended = text.replace(LENIENT, (found) =>
            found.startsWith('"') ? found.replace(/[\u0000-\u001f]/g, control) : `"${found}"`,
        );
        if (mended === text) throw error;
        return JSON.parse(mended, reviver) as Json;
    }
}

/** Whether it is an object with names. */
export function isTree(value: Json | undefined): value is Tree {
    return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Digits);
}

/** What an object has of its own under a name: `constructor` and `__proto__` are names like any other. */
export function own(tree: Tree, name: string): Json | undefined {
    return Object.hasOwn(tree, name) ? tree[name] : undefined;
}

/** A value as text: a string as it is, anything else as JSON. */
export function text(value: Json | undefined): string {
    if (value === undefined || value === null) return "";
    return typeof value === "string" ? value : write(value);
}

/** JSON again, indented by so many blanks. */
export function write(value: Json, indent = 0, depth = 0): string {
    if (value instanceof Digits) return value.text;
    if (typeof value !== "object" || value === null) return JSON.stringify(value);
    const list = Array.isArray(value);
    const items = list
        ? value.map((item) => write(item, indent, depth + 1))
        : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}:${indent ? " " : ""}${write(item, indent, depth + 1)}`);
    const [open, close] = list ? "[]" : "{}";
    if (items.length === 0 || indent === 0) return `${open}${items.join(",")}${close}`;
    const pad = "\n" + " ".repeat(indent * (depth + 1));
    return `${open}${pad}${items.join("," + pad)}\n${" ".repeat(indent * depth)}${close}`;
}
