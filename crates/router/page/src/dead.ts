import { h } from "./dom";
import type { Context } from "./view";

export function dead({ root }: Context): void {
    root.append(h("p", {}, "dead"));
}
