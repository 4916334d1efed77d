// The query box: completes names and values that are really there, and shows a mistake under its character.

import { get, Refused } from "./api";
import { fill, h, say, set, unique } from "./dom";
import { type Json, isTree, own, text } from "./json";
import { literal } from "./query";
import { SEVERITIES } from "./show";
import { visible } from "./visible";

export interface Box {
    element: HTMLElement;
    value(): string;
    put(query: string): void;
    focus(): void;
    /** Shows what is wrong, `by` characters moved by what stands around it; null: nothing is. */
    wrong(error: Refused | null, by?: number): void;
}

interface Choice {
    text: string;
    note: string;
    /** A name: a value comes behind it. */
    open: boolean;
}

const NAMES: readonly (readonly [string, string])[] = [
    ["severity<=", "as severe as"], ["severity:", "exactly"], ["type:", "what kind"], ["logger:", "who"], ["payload~", "a pattern"],
    ["since:", "not before"], ["until:", "before"], ["has:", "the field is there"], ["trace:", "belonging together"],
    ["id:", "one of this id"], ["metlog_hostname:", "where"], ["metlog_pid:", "process"], ["via:", "dialect"],
    ["archived:", "set aside"],
];
const VALUES: Record<string, readonly string[]> = {
    severity: SEVERITIES, since: ["5m", "15m", "1h", "6h", "1d", "7d"], until: ["5m", "1h", "1d"], archived: ["yes", "no", "any"],
};

/** What stands before the caret, back to where its condition begins. */
const TOKEN = /(?:^|[\s(])-?((?:"(?:[^"\\]|\\.)*"?|[^\s()"])*)$/;
const CUT = /^((?:"(?:[^"\\]|\\.)*"|[^\s"=<>:~!])+)(!=|!~|<=|>=|[:=<>~])(.*)$/s;

async function known(prefix: string, signal: AbortSignal): Promise<Map<string, string[]>> {
    const answer = await get<Json>("/v1/fields", { prefix, limit: 50 }, signal);
    const fields = isTree(answer) ? own(answer, "fields") : null;
    const found = new Map<string, string[]>();
    for (const field of Array.isArray(fields) ? fields : []) {
        if (!isTree(field)) continue;
        const values = own(field, "values");
        found.set(text(own(field, "path")), Array.isArray(values) ? values.map((value) => text(value)) : []);
    }
    return found;
}

function matching(values: readonly string[], start: string, note: string): Choice[] {
    const wanted = start.replace(/^"/, "").toLowerCase();
    return values.filter((value) => value.toLowerCase().startsWith(wanted)).map((value) => ({ text: literal(value), note, open: false }));
}

/** What could stand instead of what was begun. */
async function choices(token: string, signal: AbortSignal): Promise<{ from: number; found: Choice[] }> {
    const [, name, sign, start] = CUT.exec(token) ?? [];
    if (name !== undefined && sign !== undefined && start !== undefined) {
        const from = name.length + sign.length;
        const said = VALUES[name];
        if (said) return { from, found: matching(said, start, "") };
        if (sign.includes("~") || ["id", "trace", "position", "has"].includes(name)) return { from, found: [] };
        const fields = await known(name, signal).catch(() => new Map<string, string[]>());
        const values = fields.get(name) ?? fields.get(`fields.${name}`) ?? [];
        return { from, found: matching(values, start, "value").slice(0, 12) };
    }
    const begun = token.toLowerCase();
    const found: Choice[] = NAMES.filter(([text]) => text.startsWith(begun)).map(([text, note]) => ({ text, note, open: true }));
    const fields = await known(token, signal).catch(() => new Map<string, string[]>());
    for (const [path, values] of fields) {
        const short = path.replace(/^fields\./, "");
        const there = found.some(({ text }) => text.startsWith(short));
        const writable = /^[\p{L}\p{N}_.-]+$/u.test(short);
        if (there || !writable) continue;
        found.push({ text: `${begun.startsWith("fields.") ? path : short}=`, note: visible(values.slice(0, 3).join(", "), 40), open: true });
    }
    return { from: 0, found: found.slice(0, 14) };
}

export function box(label: string, run: () => void, signal: AbortSignal): Box {
    const ids = { list: unique(), error: unique() };
    const input = h("input", {
        type: "text", class: "mono", role: "combobox", "aria-label": label, "aria-expanded": "false", "aria-autocomplete": "list",
        "aria-controls": ids.list, "aria-describedby": ids.error, autocomplete: "off", autocapitalize: "off", spellcheck: "false",
        placeholder: 'words, severity<=warning, status>=500, since:1h …', "data-test": "query",
    });
    const list = h("div", { id: ids.list, class: "choices", role: "listbox", "aria-label": "Completions", hidden: true, "data-test": "choices" });
    const prefix = h("span", { class: "before" });
    const caret = h("div", { class: "caret mono", "aria-hidden": "true" }, prefix, h("span", { class: "bad", "data-test": "caret" }, "▲"));
    const said = h("div", { id: ids.error, class: "said bad", role: "alert", "data-test": "query-error" });
    const element = h("div", { class: "box" }, input, list, caret, said);
    caret.hidden = true;
    let found: Choice[] = [];
    let active = -1;
    let start = 0;
    let timer = 0;
    let asking: AbortController | null = null;

    function hide(): void {
        clearTimeout(timer);
        asking?.abort();
        list.hidden = true;
        active = -1;
        set(input, { "aria-expanded": "false", "aria-activedescendant": null });
    }

    function mark(next: number): void {
        active = next;
        [...list.children].forEach((one, at) => set(one, { "aria-selected": String(at === active) }));
        const chosen = list.children[active];
        chosen?.scrollIntoView({ block: "nearest" });
        set(input, { "aria-activedescendant": chosen?.id ?? null });
    }

    function take(choice: Choice): void {
        const caretAt = input.selectionStart ?? input.value.length;
        const before = input.value.slice(0, start) + choice.text + (choice.open ? "" : " ");
        const after = input.value.slice(caretAt);
        input.value = before + (choice.open ? after : after.trimStart());
        input.setSelectionRange(before.length, before.length);
        hide();
        input.focus();
        if (choice.open) complete(0);
    }

    function complete(pause: number): void {
        clearTimeout(timer);
        timer = window.setTimeout(() => void look(), pause);
    }

    async function look(): Promise<void> {
        asking?.abort();
        asking = new AbortController();
        const { signal: mine } = asking;
        const before = input.value.slice(0, input.selectionStart ?? 0);
        const token = TOKEN.exec(before)?.[1] ?? "";
        const { from, found: next } = await choices(token, mine);
        if (mine.aborted || document.activeElement !== input) return;
        start = before.length - token.length + from;
        found = next.filter(({ text }) => text !== token.slice(from));
        if (!found.length) return hide();
        fill(list, found.map((choice) =>
            h("div", { id: unique(), class: "choice", role: "option", "aria-selected": "false",
                // Before the box loses the focus.
                onpointerdown: (event: PointerEvent) => {
                    event.preventDefault();
                    take(choice);
                } },
                h("span", { class: "mono" }, choice.text), h("span", { class: "quiet" }, choice.note)),
        ));
        active = -1;
        list.hidden = false;
        set(input, { "aria-expanded": "true", "aria-activedescendant": null });
    }

    input.addEventListener("input", () => {
        wrong(null);
        complete(120);
    });
    input.addEventListener("click", () => complete(0));
    input.addEventListener("blur", hide);
    input.addEventListener("scroll", () => {
        caret.style.translate = `${-input.scrollLeft}px 0`;
    });
    input.addEventListener("keydown", (event) => {
        const open = !list.hidden;
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            if (!open) return complete(0);
            const next = active + (event.key === "ArrowDown" ? 1 : -1);
            mark(next < -1 ? found.length - 1 : next >= found.length ? -1 : next);
        } else if ((event.key === "Enter" || event.key === "Tab") && open && (active >= 0 || event.key === "Tab")) {
            const choice = found[Math.max(0, active)];
            if (!choice || event.shiftKey) return;
            event.preventDefault();
            take(choice);
        } else if (event.key === "Enter") {
            event.preventDefault();
            hide();
            run();
        } else if (event.key === "Escape" && open) {
            event.preventDefault();
            hide();
        }
    });
    signal.addEventListener("abort", hide);

    function wrong(error: Refused | null, by = 0): void {
        set(input, { "aria-invalid": error ? "true" : null });
        const column = error?.column === undefined ? 0 : error.column - by;
        const symbols = [...input.value];
        // What is missing at the end is wrong just behind it.
        const inside = column >= 1 && column <= symbols.length + 1;
        caret.hidden = !inside;
        say(prefix, symbols.slice(0, Math.max(0, column - 1)).join(""));
        caret.style.translate = `${-input.scrollLeft}px 0`;
        say(said, error ? (inside ? `column ${column}: ${error.message}` : error.message) : "");
    }

    return {
        element,
        value: () => input.value.trim(),
        put(query) {
            if (input.value.trim() !== query) input.value = query;
        },
        focus() {
            input.focus();
            input.select();
        },
        wrong,
    };
}
