// Dead letters: what could not be taken or delivered, why, and what to do with it.

import { act } from "./acts";
import { get } from "./api";
import { fill, h, say, set } from "./dom";
import { bytes, plural, whole } from "./format";
import { parse, write } from "./json";
import { moment } from "./show";
import { confirm, toast } from "./toast";
import { type Context, link } from "./view";
import { shown, visible } from "./visible";

interface Letter {
    id: string;
    when: string;
    where: string;
    cause: string;
    reply: string | null;
    message: string;
    valid: boolean;
    /** Whether the message was kept as it came, and all of it. */
    whole?: boolean;
}

interface Page {
    letters: Letter[];
    next: string | null;
    total: number;
    bytes: number;
    /** Whether there was time to count them all. */
    counted?: boolean;
}

interface Done {
    replayed?: number;
    refused?: number;
    gone?: number;
    dropped?: number;
    errors?: { id: string; error: string }[];
    /** Whether all of them were gone through. */
    done?: boolean;
}

type Change = "replay" | "drop";

const PAGE = 50;
const POLL = 5000;
/** A reply that is longer is folded. */
const LONG = 200;
/** A message that is longer is not put into an address. */
const LINKED = 16_000;

export function dead(context: Context): void {
    const { root, signal } = context;
    root.classList.add("page");
    let next: string | null = null;
    let total = 0;
    const rows = new Map<string, Row>();

    const told = h("p", { class: "quiet", role: "status", "data-test": "dead-total" });
    const newer = h("button", { class: "newer", hidden: true, "data-test": "dead-newer", onclick: () => context.run(refresh()) });
    const list = h("ol", { class: "letters", "aria-label": "Dead letters, newest first", "data-test": "letters" });
    const more = h("button", { hidden: true, "data-test": "dead-more", onclick: () => context.run(older()) }, "Show older ones");
    const none = h("p", { class: "quiet empty", hidden: true, "data-test": "dead-none" },
        "No dead letters. What an input cannot read, or an endpoint refuses for good, is kept here with its cause and what the endpoint answered.");
    const all = h("input", { type: "checkbox", "data-test": "dead-select-all", onchange: () => choose(all.checked) });
    const button = (change: Change, everything: boolean): HTMLButtonElement =>
        h("button", {
            class: change === "drop" ? "danger" : "", "data-test": `${change}-${everything ? "all" : "selected"}`,
            onclick: () => context.run(ask(change, everything ? null : chosen())),
        });
    const some = { replay: button("replay", false), drop: button("drop", false) };
    const every = { replay: button("replay", true), drop: button("drop", true) };
    const tools = h("div", { class: "row tools-row" }, h("label", { class: "row" }, all, "All shown"), some.replay, some.drop,
        h("span", { class: "grow" }), every.replay, every.drop);

    const chosen = (): string[] => [...rows.values()].filter((row) => row.box.checked).map((row) => row.letter.id);
    const choose = (checked: boolean): void => {
        for (const row of rows.values()) row.box.checked = checked;
        count();
    };
    const count = (): void => {
        const picked = chosen().length;
        say(some.replay, picked > 0 ? `Replay ${whole(picked)} selected` : "Replay selected");
        say(some.drop, picked > 0 ? `Drop ${whole(picked)} selected` : "Drop selected");
        some.replay.disabled = some.drop.disabled = picked === 0;
        all.checked = picked > 0 && picked === rows.size;
        all.indeterminate = picked > 0 && picked < rows.size;
        say(every.replay, `Replay all ${whole(total)}`);
        say(every.drop, `Drop all ${whole(total)}`);
        tools.hidden = none.hidden === false;
    };

    const put = (page: Page): void => {
        for (const letter of page.letters) {
            if (rows.has(letter.id)) continue;
            const made = row(letter, count, (change) => context.run(ask(change, [letter.id])));
            rows.set(letter.id, made);
            list.append(made.element);
        }
        ({ next, total } = page);
        say(told, stock(page));
        more.hidden = next === null;
        none.hidden = total > 0 || rows.size > 0;
        count();
    };
    const fetchPage = (before: string | null, limit: number): Promise<Page> => get<Page>("/v1/deadletters", { limit, before }, signal);
    const refresh = async (): Promise<void> => {
        // Asked before the list is emptied: a lost connection leaves what is there.
        const page = await fetchPage(null, PAGE);
        newer.hidden = true;
        const picked = new Set(chosen());
        rows.clear();
        fill(list);
        put(page);
        for (const [id, { box }] of rows) box.checked = picked.has(id);
        count();
    };
    const older = async (): Promise<void> => {
        const first = rows.size;
        put(await fetchPage(next, PAGE));
        [...rows.values()][first]?.element.focus();
    };
    const look = async (): Promise<void> => {
        const page = await fetchPage(null, 1);
        const [latest] = page.letters;
        const [top] = rows.keys();
        if (rows.size === 0 && latest) return refresh();
        // What is being read does not move; what came meanwhile is offered.
        newer.hidden = latest === undefined || latest.id === top;
        say(newer, `${page.total > total ? plural(page.total - total, "newer letter") : "Others"}: show`);
        if (newer.hidden) say(told, stock(page));
    };

    const ask = async (change: Change, ids: string[] | null): Promise<void> => {
        const what = ids === null ? `all ${plural(total, "dead letter")}` : ids.length === 1 ? "this dead letter" : `these ${whole(ids.length)} dead letters`;
        const question = change === "drop"
            ? `Drop ${what}? This cannot be undone.`
            : `Replay ${what}? Each goes through the filters again as a new message, and is removed here once that is safe.`;
        if (!(await confirm(question, change === "drop" ? "Drop" : "Replay"))) return;
        const body = ids === null ? { all: true } : { ids };
        const done = await act<Done>(`/v1/deadletters/${change}`, body);
        toast(change === "drop" ? `${whole(done.dropped ?? 0)} dropped` : replayed(done), done.refused || done.done === false ? "error" : "done");
        await refresh();
        list.focus();
    };

    set(list, { tabindex: -1 });
    root.append(h("div", { class: "headline" }, h("h1", {}, "Dead letters"), told, newer), tools, none, list, more);
    count();
    tools.hidden = true;

    const at = (): number => [...rows.values()].findIndex((row) => row.element.contains(document.activeElement));
    const move = (by: number): void => {
        const all = [...rows.values()];
        const to = all[Math.min(Math.max(at() + by, 0), all.length - 1)]?.element;
        to?.focus();
        to?.scrollIntoView({ block: "nearest" });
    };
    const here = (): Row | undefined => [...rows.values()][at()];
    context.key(["j", "ArrowDown"], "next", () => move(1));
    context.key(["k", "ArrowUp"], "the one before", () => move(-1));
    context.key("Enter", "open or close", () => here()?.toggle());
    context.key("x", "select", () => here()?.box.click());
    context.every(POLL, () => (rows.size === 0 && total === 0 ? refresh() : look()));
}

/** How many there are. */
function stock({ total, bytes: size, counted }: Page): string {
    return total === 0 ? "" : `${counted === false ? "more than " : ""}${plural(total, "letter")}, ${bytes(size)}`;
}

/** What became of letters that were sent in again. */
function replayed({ replayed = 0, refused = 0, gone = 0, errors = [], done }: Done): string {
    return [
        `${whole(replayed)} replayed`,
        refused > 0 && `${whole(refused)} refused again${errors[0] ? ` (${errors[0].error})` : ""}`,
        gone > 0 && `${whole(gone)} were gone already`,
        done === false && "there was no time for the rest: replay once more",
    ].filter((text) => text !== false).join(", ");
}

interface Row {
    letter: Letter;
    element: HTMLElement;
    box: HTMLInputElement;
    toggle(): void;
}

function row(letter: Letter, picked: () => void, change: (change: Change) => void): Row {
    const when = moment(letter.when);
    const box = h("input", { type: "checkbox", "aria-label": `Select the letter of ${when}`, onchange: picked });
    const whole = h("details", {},
        h("summary", { class: "mono" }, visible(letter.message, 400)),
        h("pre", { class: "source", "data-test": "letter-message" }, shown(pretty(letter.message))),
    );
    const buttons = h("span", { class: "row letter-buttons" },
        h("button", { "data-test": "letter-replay", "aria-label": `Replay the letter of ${when}`, onclick: () => change("replay") }, "Replay"),
        h("button", { "data-test": "letter-drop", class: "danger", "aria-label": `Drop the letter of ${when}`, onclick: () => change("drop") }, "Drop"),
        letter.message.length <= LINKED && h("a", { href: link("explain", { message: letter.message, ...via(letter) }), "data-test": "letter-explain" }, "Explain"),
    );
    const element = h("li", { class: "letter", tabindex: -1, "data-test": "letter", "data-id": letter.id },
        h("div", { class: "row" }, box, h("time", { datetime: letter.when, class: "mono" }, when), h("span", { class: "badge" }, visible(letter.where, 200)), h("span", { class: "grow" }), buttons),
        h("p", { class: "cause", "data-test": "letter-cause" }, shown(letter.cause),
            !letter.valid && h("span", { class: "quiet" }, letter.whole === false ? " Not all of it was kept, so it cannot be replayed." : " It is no message, so it would only be refused again.")),
        letter.reply !== null && answered(letter.reply),
        whole,
    );
    return { letter, element, box, toggle: () => { whole.open = !whole.open; } };
}

/** What an endpoint answered; what is long is shown to those who ask. */
function answered(reply: string): HTMLElement {
    const all = [h("span", { class: "quiet" }, "It answered: "), h("q", {}, shown(reply))];
    if (reply.length <= LONG) return h("p", { class: "reply", "data-test": "letter-reply" }, all);
    const start = `${shown(reply.slice(0, LONG))}…`;
    return h("details", { class: "reply", "data-test": "letter-reply" },
        h("summary", {}, h("span", { class: "quiet" }, "It answered: "), h("q", {}, start)), h("p", {}, h("q", {}, shown(reply))));
}

/** The input it came by, where that is known. */
function via({ where }: Letter): { input?: string } {
    return where.startsWith("input ") ? { input: where.slice(6) } : {};
}

/** Indented if it is JSON, and as it came if not. */
export function pretty(message: string): string {
    try {
        return write(parse(message), 2);
    } catch {
        return message;
    }
}
