import { h } from "./dom";
import type { Context } from "./view";

export function search({ root }: Context): void {
    root.append(h("p", {}, "search"));
}
