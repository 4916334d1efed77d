import { h } from "./dom";
import type { Context } from "./view";

export function metrics({ root }: Context): void {
    root.append(h("p", {}, "metrics"));
}
