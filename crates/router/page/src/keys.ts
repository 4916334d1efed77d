// Keys, and the help that lists them.

import { h } from "./dom";

/** One key, or several that do the same, as `KeyboardEvent.key` calls them. */
export type Keys = string | readonly string[];

interface Bound {
    keys: readonly string[];
    what: string;
    run: () => void;
}

const bound: Bound[] = [];

/** Binds keys. The latest wins. */
export function bind(keys: Keys, what: string, run: () => void, signal?: AbortSignal): void {
    const one: Bound = { keys: typeof keys === "string" ? [keys] : keys, what, run };
    bound.unshift(one);
    signal?.addEventListener("abort", () => bound.splice(bound.indexOf(one), 1));
}

function typing(target: EventTarget | null): boolean {
    return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** Listens. */
export function listen(): void {
    addEventListener("keydown", (event) => {
        if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
        // A dialog has its own keys, and so has whoever types; Esc gives the keys back.
        if (document.querySelector("dialog[open]")) return;
        if (typing(event.target)) {
            if (event.key === "Escape") (event.target as HTMLElement).blur();
            return;
        }
        // Enter and the space bar belong to the button or link they stand on.
        if (event.target instanceof Element && /^(BUTTON|A|SUMMARY)$/.test(event.target.tagName) && /^(Enter| )$/.test(event.key)) return;
        const found = bound.find((one) => one.keys.includes(event.key));
        if (!found) return;
        event.preventDefault();
        found.run();
    });
}

/** Shows what keys there are. */
export function help(): void {
    const seen = new Set<string>();
    const rows = [...bound].reverse().filter((one) => one.what && !seen.has(one.what) && seen.add(one.what));
    const box = h(
        "dialog",
        { class: "dialog", "aria-label": "Keys", "data-test": "help" },
        h("h2", {}, "Keys"),
        h("dl", { class: "keys" }, rows.map((one) => [
            h("dt", {}, one.keys.map((key) => h("kbd", {}, key === " " ? "Space" : key.replace("Arrow", "")))),
            h("dd", {}, one.what),
        ])),
        h("h2", {}, "Asking"),
        h("dl", { class: "keys" }, ASKING.map(([example, what]) => [h("dt", {}, h("code", {}, example)), h("dd", {}, what)])),
        h("p", { class: "buttons" }, h("button", { class: "main", onclick: () => box.close() }, "Close")),
    );
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
}

/** The query language by example. */
export const ASKING: readonly (readonly [string, string])[] = [
    ["disk full", "both words in the payload"],
    ['"disk full" dis*', "one after the other; begins so"],
    ["type:timer logger:web*", "the envelope's values"],
    ["severity<=4 severity:error", "as severe as a warning; exactly an error"],
    ["user_id=42 status>=500", "fields"],
    ["has:user_id path~/^.api/i", "there at all; a pattern"],
    ["since:1h until:2026-11-20T10:00Z", "times"],
    ["a OR b   NOT c   (a OR b) -c", "together"],
    ["trace:ID id:ID archived:any", "belonging together; one; set aside"],
];
