import { h } from "./dom";
import type { Context } from "./view";

export function live({ root }: Context): void {
    root.append(h("p", {}, "live"));
}
