// Tables whose rows are kept while their values change, so that a poll a second does not take away what somebody
// points at.

import { add, fill, h, type Child } from "./dom";

export interface Column<Row> {
    title: string;
    /** What stands in the cell. */
    cell(row: Row): Child;
    /** A number: to the right, in digits of one width. */
    number?: boolean;
    /** Left out on narrow screens. */
    wide?: boolean;
}

export interface Table<Row> {
    element: HTMLElement;
    show(rows: readonly Row[]): void;
}

/** A table; `id` tells rows apart, `none` is said when there are none. */
export function table<Row>(label: string, columns: readonly Column<Row>[], id: (row: Row) => string, none: string): Table<Row> {
    const of = (column: Column<Row>): string => `${column.number ? "number" : ""} ${column.wide ? "wide" : ""}`;
    const body = h("tbody");
    const empty = h("p", { class: "quiet empty" }, none);
    const whole = h(
        "table",
        { "aria-label": label },
        h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: of(column) }, column.title)))),
        body,
    );
    const element = h("div", { class: "table", role: "region", "aria-label": label, tabindex: 0 }, whole, empty);
    const known = new Map<string, { row: HTMLTableRowElement; texts: string[] }>();
    const show = (rows: readonly Row[]): void => {
        empty.hidden = rows.length > 0;
        whole.hidden = rows.length === 0;
        const left = new Set(known.keys());
        rows.forEach((row, at) => {
            const name = id(row);
            left.delete(name);
            let line = known.get(name);
            if (!line) {
                line = { row: h("tr", { "data-id": name }, columns.map((column) => h("td", { class: of(column) }))), texts: [] };
                known.set(name, line);
            }
            columns.forEach((column, index) => {
                const cell = line.row.cells[index];
                const child = column.cell(row);
                if (!cell || !line) return;
                // Plain texts are compared; anything else is put in again.
                const plain = typeof child === "string" || typeof child === "number" ? `t${child}` : null;
                if (plain !== null && line.texts[index] === plain) return;
                line.texts[index] = plain ?? "";
                fill(cell, child);
            });
            if (body.children[at] !== line.row) body.insertBefore(line.row, body.children[at] ?? null);
        });
        for (const name of left) {
            known.get(name)?.row.remove();
            known.delete(name);
        }
    };
    show([]);
    return { element, show };
}

/** Names and values. */
export function pairs(entries: readonly (readonly [string, Child])[]): HTMLElement {
    const list = h("dl", { class: "pairs" });
    for (const [name, value] of entries) add(list, h("dt", {}, name), h("dd", {}, value));
    return list;
}
