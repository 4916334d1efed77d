import { h } from "./dom";
import type { Context } from "./view";

export function explain({ root }: Context): void {
    root.append(h("p", {}, "explain"));
}
