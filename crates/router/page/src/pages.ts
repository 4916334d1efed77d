// Found messages, page by page behind each other. Pages that nobody looks at are let go and fetched again: a million
// rows are as light as some thousand.

import { get } from "./api";
import type { Digits, Tree } from "./json";
import { Item, type Rows } from "./list";

/** Rows of a page, and pages that are kept. */
const SIZE = 500;
const KEPT = 40;
/** How long the router looks before it says how far it got. */
const DEADLINE = "5s";

interface Answer {
    messages: Tree[];
    positions: (number | Digits)[];
    next: string | null;
    partial: boolean;
    scanned: number;
    settled: boolean;
}

interface Page {
    after: string | null;
    first: number;
    count: number;
    items: Item[] | null;
    used: number;
}

export interface Asked {
    query: string;
    order: string;
}

export class Pages implements Rows {
    private pages: Page[] = [];
    private total = 0;
    private next: string | null = null;
    private busy = false;
    private clock = 0;
    /** Everything has been found. */
    ended = false;
    /** Messages the router has looked at for those that are here. */
    scanned = 0;
    /** Something failed: nothing more is fetched until `more` is called. */
    stuck = false;

    constructor(
        readonly asked: Asked,
        private readonly signal: AbortSignal,
        private readonly changed: () => void,
        private readonly failed: (error: unknown) => void,
    ) {}

    length(): number {
        return this.total;
    }

    at(index: number): Item | undefined {
        const page = this.pageOf(index);
        return page?.items?.[index - page.first];
    }

    /** Pages are of different lengths, where time was up. */
    private pageOf(index: number): Page | undefined {
        let [low, high] = [0, this.pages.length];
        while (low < high) {
            const middle = (low + high) >> 1;
            if ((this.pages[middle]?.first ?? 0) <= index) low = middle + 1;
            else high = middle;
        }
        return this.pages[low - 1];
    }

    seen(first: number, last: number): void {
        this.clock += 1;
        for (let page = this.pageOf(first); page && page.first <= last; page = this.pageOf(page.first + page.count)) {
            page.used = this.clock;
            if (!page.items && !this.busy && !this.stuck) void this.again(page);
            if (page === this.pages.at(-1)) break;
        }
        if (last >= this.total - SIZE / 2 && !this.stuck) void this.more();
    }

    private ask(after: string | null): Promise<Answer> {
        const { query, order } = this.asked;
        return get<Answer>("/v1/messages", { query, order, limit: SIZE, after, deadline: DEADLINE }, this.signal);
    }

    /** The next page. The first one rejects, so that whoever asked wrongly hears it. */
    async load(): Promise<void> {
        const after = this.next;
        const answer = await this.ask(after);
        const items = itemsOf(answer);
        this.scanned += answer.scanned;
        if (items.length) {
            this.pages.push({ after, first: this.total, count: items.length, items, used: this.clock });
            this.total += items.length;
        }
        this.next = answer.next;
        this.ended = answer.next === null;
        this.letGo();
        this.changed();
    }

    async more(): Promise<void> {
        if (this.busy || this.ended) return;
        await this.guarded(() => this.load());
    }

    private again(page: Page): Promise<void> {
        return this.guarded(async () => {
            page.items = itemsOf(await this.ask(page.after)).slice(0, page.count);
            this.letGo();
            this.changed();
        });
    }

    private async guarded(work: () => Promise<void>): Promise<void> {
        this.busy = true;
        try {
            await work();
            this.stuck = false;
        } catch (error) {
            this.stuck = true;
            if (!this.signal.aborted) this.failed(error);
        } finally {
            this.busy = false;
        }
    }

    private letGo(): void {
        const kept = this.pages.filter((page) => page.items).sort((a, b) => b.used - a.used);
        // The newest page has not been seen yet.
        for (const page of kept.slice(KEPT)) if (page !== this.pages.at(-1)) page.items = null;
    }
}

export function itemsOf(answer: { messages: Tree[]; positions: (number | Digits)[] }): Item[] {
    return answer.messages.map((message, at) => new Item(String(answer.positions[at]), message));
}
