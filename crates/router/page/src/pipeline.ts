import { h } from "./dom";
import type { Context } from "./view";

export function pipeline({ root }: Context): void {
    root.append(h("p", {}, "pipeline"));
}
