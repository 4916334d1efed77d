// Views: each has a name, which is its address behind the `#`, and lives until another one takes its place. What a view
// looks at stands in the address, so that it can be sent to somebody.

import { Lost, Refused, watchConnection } from "./api";
import { fill, h } from "./dom";
import { bind, type Keys } from "./keys";
import { toast } from "./toast";

/** What a view is given. */
export interface Context {
    /** Its element, empty. */
    root: HTMLElement;
    /** What stands behind the `?` in its address. */
    params: URLSearchParams;
    /** Ends when another view is shown. */
    signal: AbortSignal;
    /** Writes the address; with `push`, one can go back. The view is not mounted again. */
    write(params: URLSearchParams, push?: boolean): void;
    /** Called when the address's parameters change by going back, by a link or by hand. */
    changed(listener: (params: URLSearchParams) => void): void;
    /** Binds a key while the view is shown; the text stands in the help. */
    key(keys: Keys, what: string, run: () => void): void;
    /** Runs now and then every so many milliseconds after the last run ended, while it is shown and can be seen. */
    every(ms: number, run: () => Promise<void> | void): void;
    /** Runs when the connection is there again. */
    healed(run: () => void): void;
    /** Runs something that may fail, and says how. */
    run(work: Promise<unknown>): void;
}

interface View {
    name: string;
    title: string;
    mount(context: Context): void;
}

const views: View[] = [];

/** Adds a view. In the order of these calls they stand in the navigation. */
export function view(name: string, title: string, mount: (context: Context) => void): void {
    views.push({ name, title, mount });
}

export const allViews = (): readonly { name: string; title: string }[] => views;

/** The address of a view. */
export function link(name: string, params: Record<string, string> | URLSearchParams = {}): string {
    const query = new URLSearchParams(params).toString();
    return query ? `#/${name}?${query}` : `#/${name}`;
}

/** Goes to a view. */
export function go(name: string, params: Record<string, string> | URLSearchParams = {}): void {
    location.hash = link(name, params);
}

/** Says what failed: to people, in the corner; a view that was left says nothing. */
export function report(error: unknown, signal?: AbortSignal): void {
    if (signal?.aborted || (error instanceof DOMException && error.name === "AbortError")) return;
    // The line at the top says it already, and heals.
    if (error instanceof Lost) return;
    const what = error instanceof Refused || error instanceof Error ? error.message : String(error);
    toast(what, "error");
}

let shown: { view: View; leave: AbortController; listeners: ((params: URLSearchParams) => void)[] } | null = null;

function read(): { name: string; params: URLSearchParams } {
    const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
    return { name: path, params: new URLSearchParams(query) };
}

function context(root: HTMLElement, view: View, leave: AbortController, params: URLSearchParams): Context {
    const signal = leave.signal;
    return {
        root,
        params,
        signal,
        write(next, push = false) {
            if (signal.aborted) return;
            const to = link(view.name, next);
            if (to === location.hash) return;
            if (push) history.pushState(null, "", to);
            else history.replaceState(null, "", to);
        },
        changed(listener) {
            shown?.listeners.push(listener);
        },
        key(keys, what, run) {
            bind(keys, what, run, signal);
        },
        every(ms, run) {
            let timer = 0;
            const again = (): void => {
                clearTimeout(timer);
                if (signal.aborted || document.hidden) return;
                Promise.resolve().then(run).catch((error: unknown) => report(error, signal)).finally(() => {
                    clearTimeout(timer);
                    if (!signal.aborted) timer = window.setTimeout(again, ms);
                });
            };
            document.addEventListener("visibilitychange", again, { signal });
            watchConnection((lost) => lost || again(), signal);
            signal.addEventListener("abort", () => clearTimeout(timer));
            again();
        },
        healed(run) {
            watchConnection((lost) => lost || run(), signal);
        },
        run(work) {
            work.catch((error: unknown) => report(error, signal));
        },
    };
}

/** Shows what the address says, and follows it. */
export function start(main: HTMLElement, entered: (name: string) => void): void {
    const follow = (): void => {
        const { name, params } = read();
        const found = views.find((view) => view.name === name) ?? views[0];
        if (!found) return;
        if (shown?.view === found) {
            shown.listeners.forEach((listener) => listener(params));
            return;
        }
        shown?.leave.abort();
        const leave = new AbortController();
        shown = { view: found, leave, listeners: [] };
        const root = h("section", { class: `view view-${found.name}`, "aria-label": found.title, "data-test": `view-${found.name}` });
        fill(main, root);
        document.title = `${found.title} · metlog`;
        entered(found.name);
        found.mount(context(root, found, leave, params));
    };
    addEventListener("hashchange", follow);
    follow();
}
