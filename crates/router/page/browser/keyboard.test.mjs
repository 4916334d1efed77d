// Without a mouse: everything can be reached, and one sees where one is.

import assert from "node:assert/strict";
import { accessible, check, message, part, picture, says, until } from "./harness.mjs";

/** All that can be acted on and is seen, and what the tab key stops at until it is back at the start. */
async function walk(page, what) {
    const wanted = await page.evaluate(() => {
        const reachable = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter((one) =>
            !one.disabled && one.tabIndex >= 0 && one.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) && one.getClientRects().length > 0);
        reachable.forEach((one, at) => one.setAttribute("data-walk", String(at)));
        document.activeElement?.blur();
        getSelection()?.removeAllRanges();
        return reachable.length;
    });
    const met = new Set();
    const unseen = [];
    // A browser goes on from where the focus was last, so it may come round once.
    for (let steps = 0, rounds = 0; steps < 2 * wanted + 60; steps += 1) {
        await page.keyboard.press("Tab");
        const here = await page.evaluate(() => {
            const one = document.activeElement;
            if (!one || one === document.body) return null;
            const style = getComputedStyle(one);
            const box = one.getBoundingClientRect();
            const marked = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
            const row = one.querySelector(":scope > .line");
            const inside = row && getComputedStyle(row).outlineStyle !== "none";
            const inView = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
            return { walk: one.getAttribute("data-walk"), seen: (marked || Boolean(inside)) && inView, html: one.outerHTML.slice(0, 160), named: one.matches("a, button, input, select, textarea, summary") };
        });
        if (here === null) {
            rounds += 1;
            if (rounds > 1) break;
            continue;
        }
        if (!here.seen) unseen.push(here.html);
        met.add(here.walk);
    }
    assert.deepEqual(unseen, [], `${what}: one sees where one is`);
    const missed = await page.evaluate((met) => [...document.querySelectorAll("[data-walk]")].filter((one) => one.isConnected && one.getClientRects().length > 0 && !one.disabled && !met.includes(one.getAttribute("data-walk"))).map((one) => one.outerHTML.slice(0, 160)), [...met]);
    assert.deepEqual(missed, [], `${what}: everything can be reached`);
    await page.evaluate(() => document.querySelectorAll("[data-walk]").forEach((one) => one.removeAttribute("data-walk")));
}

check("all six views without a mouse", {}, async ({ router, open }) => {
    await router.send(
        ...Array.from({ length: 30 }, (_, number) => message(number, { severity: number % 8 })),
        message(31, { type: "timer", payload: "12", fields: { name: "db" } }), message(32, { type: "counter", payload: "2", fields: { name: "hits" } }),
    );
    await router.pour("scribble");
    await router.stored(32);
    const page = await open("#/live");
    const shown = { live: "row", search: "row", metrics: "timer-row", pipeline: "endpoint-store", dead: "letter", explain: "explain-message" };
    for (const [at, [view, what]] of Object.entries(shown).entries()) {
        // By the key that the help tells, out of whatever has the focus.
        await page.keyboard.press("Escape");
        await page.keyboard.press(String(at + 1));
        await part(page, `view-${view}`).waitFor();
        await part(page, what).first().waitFor();
        await walk(page, view);
        await page.keyboard.press("Escape");
        await page.evaluate(() => document.activeElement?.blur());
        await page.keyboard.press("?");
        await part(page, "help").waitFor();
        if (view === "pipeline") {
            await accessible(page, "the help");
            await picture(page, "help");
        }
        await page.keyboard.press("Escape");
        await part(page, "help").waitFor({ state: "detached" });
        await accessible(page, view);
    }

    // Metrics: from one to the next.
    await page.keyboard.press("Escape");
    await page.keyboard.press("3");
    await says(page, "metric-title", /^db/);
    await page.keyboard.press("j");
    await says(page, "metric-title", /^hits/);
    await page.keyboard.press("k");
    await says(page, "metric-title", /^db/);
    // Pipeline: an endpoint is paused and goes on.
    const to = async (locator) => {
        for (let step = 0; step < 120; step += 1) {
            if (await locator.evaluate((one) => one === document.activeElement)) return;
            await page.keyboard.press("Tab");
        }
        assert.fail("it cannot be reached");
    };
    const state = async () => (await router.get("/v1/pipeline")).endpoints.find((one) => one.name === "store").state;
    await page.keyboard.press("4");
    const pause = part(page, "endpoint-store").locator('[data-test="pause"]');
    await pause.waitFor();
    for (const [name, then] of [["Pause store", "paused"], ["Resume store", "waiting"]]) {
        await until(name, async () => (await pause.getAttribute("aria-label")) === name);
        await to(pause);
        await page.keyboard.press("Enter");
        await part(page, "confirm").waitFor();
        // What cannot be undone is not what a hasty Enter does.
        assert.equal(await part(page, "confirm-no").evaluate((one) => one === document.activeElement), true);
        await to(part(page, "confirm-yes"));
        await page.keyboard.press("Enter");
        await until(`it is ${then}`, async () => (await state()) === then);
        await part(page, "confirm").waitFor({ state: "detached" });
        assert.equal(await pause.evaluate((one) => one === document.activeElement), true, "the focus is where it was");
    }
    // Dead letters: opened, chosen and dropped.
    await page.keyboard.press("5");
    await part(page, "letter").waitFor();
    await page.keyboard.press("j");
    await page.keyboard.press("Enter");
    await part(page, "letter-message").waitFor();
    await page.keyboard.press("x");
    await to(part(page, "drop-selected"));
    await page.keyboard.press("Enter");
    await to(part(page, "confirm-yes"));
    await page.keyboard.press("Enter");
    await part(page, "dead-none").waitFor();
    // Explain: typed and asked.
    await page.keyboard.press("6");
    await part(page, "explain-message").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type('{"type": "log"}');
    await page.keyboard.press("Control+Enter");
    await says(page, "explain-verdict", /It goes to 1 of 1 endpoints\./);
});

check("what changes by itself is told, and not shouted", {}, async ({ router, open }) => {
    const page = await open("#/pipeline");
    await part(page, "endpoint-store").waitFor();
    // Of what is written anew each second nothing is read out loud; what is, changes rarely.
    const loud = () => page.evaluate(() => [...document.querySelectorAll("[aria-live], [role=status], [role=alert], [role=log]")].map((one) =>
        [one.dataset.test ?? one.className, one.getAttribute("aria-live") ?? { alert: "assertive" }[one.getAttribute("role")] ?? "polite"].join(" ")).sort());
    assert.deepEqual(await loud(), ["errors assertive", "lost assertive", "toasts polite", "troubles polite"]);
    const told = await page.evaluate(() => new Promise((done) => {
        const changes = [];
        const watch = new MutationObserver((all) => changes.push(...all.map((one) => one.target.textContent)));
        watch.observe(document.querySelector("[data-test=troubles]"), { childList: true, characterData: true, subtree: true });
        let polls = 0;
        const seen = new MutationObserver(() => {
            polls += 1;
            if (polls >= 3) done(changes);
        });
        seen.observe(document.querySelector("[data-test=pipeline-head]"), { childList: true, characterData: true, subtree: true });
    }));
    assert.deepEqual(told, [], "nothing new, so nothing is said");
    await router.post("/v1/endpoints/store/pause", {});
    await says(page, "troubles", /^\s*store is paused$/);
    for (const [view, expected] of [
        ["metrics", ["errors assertive", "lost assertive", "metrics-error assertive", "metrics-note polite", "readout polite", "toasts polite"]],
        ["dead", ["dead-total polite", "errors assertive", "lost assertive", "toasts polite"]],
        ["explain", ["errors assertive", "explain-error assertive", "explained polite", "lost assertive", "toasts polite"]],
    ]) {
        await page.goto(`${router.at}/#/${view}`);
        await part(page, `view-${view}`).waitFor();
        assert.deepEqual(await loud(), expected, view);
        // Everything that can be acted on has a name.
        const nameless = await page.evaluate(() => [...document.querySelectorAll("button, a[href], input, select, textarea")].filter((one) => one.getClientRects().length > 0
            && !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML.slice(0, 120)));
        assert.deepEqual(nameless, [], view);
    }
    await router.post("/v1/endpoints/store/resume", {});
});
