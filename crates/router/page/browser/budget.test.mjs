// What the page may take: time until something is seen, time in which it does not answer, elements.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { check, message, part, picture, rows, says, until } from "./harness.mjs";

check("something is seen within a second", {}, async ({ router, open }) => {
    await router.send(...Array.from({ length: 500 }, (_, number) => message(number)));
    await router.stored(500);
    const paints = [];
    // A machine that has other things to do is slow now and then; a page that is slow is so each time.
    for (let run = 0; run < 3; run += 1) {
        const page = await open("#/live");
        await part(page, "row").first().waitFor();
        paints.push(await until("it was painted", () => page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime)));
        await page.close();
    }
    console.log(`first contentful paint: ${paints.map((ms) => Math.round(ms)).join(", ")} ms`);
    assert.ok(Math.min(...paints) <= 1000, `${paints} ms`);
});

/** Messages a second that the load maker is to send. */
const RATE = 20_000;
/** Enough that nobody could draw them all. */
const MANY = 100_000;

check("20,000 messages a second: it says that it samples, and answers; and in what they leave behind one can search", { within: 400_000 }, async ({ router, open, clean }) => {
    const load = spawn(process.execPath, [new URL("load.mjs", import.meta.url).pathname, router.place("tcp"), String(RATE)], { stdio: ["pipe", "pipe", "inherit"] });
    const ended = once(load, "exit");
    const received = async () => Number((await router.get("/v1/pipeline")).inputs.find(({ name }) => name === "tcp").counts.received);
    try {
        await until("they come in", async () => (await received()) > RATE);
        const page = await open("#/live");
        await says(page, "sampling", /^sampling: [\d.]+ k? ?of [\d.]+ k messages shown/);
        await page.evaluate(() => {
            window.tasks = [];
            new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
        });
        const windows = [];
        // Other people's work on this machine is not the page's: one stretch without a long task shows what the page does,
        // and a page that freezes does so in each.
        while (windows.length < 6 && !windows.some(({ longest }) => longest <= 100)) {
            const [before, begun] = [await received(), performance.now()];
            await page.evaluate(() => (window.tasks.length = 0));
            const first = (await rows(page))[0].key;
            await sleep(3000);
            const longest = await page.evaluate(() => Math.max(0, ...window.tasks));
            const rate = ((await received()) - before) / ((performance.now() - begun) / 1000);
            assert.notEqual((await rows(page))[0].key, first, "it goes on");
            assert.ok(await part(page, "sampling").isVisible(), "it says so all the time");
            windows.push({ longest: Math.round(longest), rate: Math.round(rate) });
        }
        console.log(`stretches of 3 s, messages that arrived in a second and the longest task in ms: ${windows.map(({ rate, longest }) => `${rate} ${longest}`).join(", ")}`);
        assert.ok(windows.some(({ longest }) => longest <= 100), JSON.stringify(windows));
        assert.ok(windows.every(({ longest }) => longest <= 400), JSON.stringify(windows));
        // What arrives is what this machine can bring; many times as much as is shown it must be.
        assert.ok(windows.every(({ rate }) => rate > 1000), JSON.stringify(windows));
        assert.ok(await page.evaluate(() => document.querySelectorAll("*").length) < 2000);
        await until("it is counted meanwhile", async () => Number(await part(page, "count").getAttribute("data-total")) > 0);
        await picture(page, "live-load");
        await clean(page);
        await page.close();
        await until("there are many", async () => (await received()) >= MANY);
    } finally {
        load.stdin.end();
        load.stdout.resume();
        await ended;
    }
    await until("the store has them all", async () => Number((await router.get("/v1/pipeline")).endpoints.find(({ name }) => name === "store").buffered) === 0);

    const page = await open("#/search?query=&since=");
    await part(page, "row").first().waitFor();
    await page.evaluate(() => {
        window.tasks = [];
        new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
    });
    const elements = [];
    let last = 0;
    for (let goal = 2500; goal <= 22_500; goal += 2500) {
        await until(`row ${goal}`, async () => {
            await part(page, "list").evaluate((list) => (list.scrollTop = list.scrollHeight));
            last = (await rows(page)).at(-1)?.index ?? last;
            return last >= goal;
        });
        elements.push(await page.evaluate(() => document.querySelectorAll("*").length));
    }
    assert.ok(Math.max(...elements) < 2500, `${elements}`);
    // The pages that were let go come again.
    await part(page, "list").evaluate((list) => (list.scrollTop = 0));
    await until("the top", async () => (await rows(page))[0]?.index === 0);
    const shown = (await rows(page)).slice(0, 20).map(({ key }) => key);
    const wanted = (await router.get("/v1/messages?query=&limit=20")).positions.map(String);
    assert.deepEqual(shown, wanted);
    const tasks = await page.evaluate(() => window.tasks.map(Math.round));
    console.log(`${last} of ${MANY}+ rows were scrolled through: ${elements.at(-1)} elements, long tasks: ${tasks.length ? tasks.join(", ") : "none"}`);
    assert.ok(Math.max(0, ...tasks) <= 400, `${tasks}`);
    // What looks through everything says so, and can be stopped.
    await until("it is counted", async () => Number(await part(page, "count").getAttribute("data-total")) > 0);
});

check("a million rows are as light as twenty", {}, async ({ open }) => {
    const page = await open("#/explain");
    const entry = new URL("../src/list.ts", import.meta.url).pathname;
    const { outputFiles } = await build({
        stdin: { contents: `export { list, Item } from ${JSON.stringify(entry)}; export { h } from ${JSON.stringify(entry.replace("list.ts", "dom.ts"))};`, resolveDir: "." },
        bundle: true, format: "iife", globalName: "parts", write: false,
    });
    // The list itself, with rows that are made when they are asked for.
    await page.evaluate(`${outputFiles[0].text}; window.parts = parts;`);
    await page.evaluate(() => {
        const { list, Item, h } = window.parts;
        const made = new Map();
        const at = (index) => {
            if (!made.has(index)) made.set(index, new Item(String(index), { timestamp: "2026-11-21T10:00:00Z", type: "log", logger: "web", severity: index % 8, payload: `row ${index}` }));
            return made.get(index);
        };
        window.all = list({ length: () => 1_000_000, at, seen() {} }, (item) => h("div", {}, h("p", {}, `opened ${item.key}`)), () => {}, new AbortController().signal);
        const main = document.querySelector("main");
        main.replaceChildren(h("section", { class: "view" }, window.all.element));
        window.all.draw();
    });
    const settle = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    const to = async (part) => {
        await page.evaluate((part) => {
            const { element } = window.all;
            element.scrollTop = (element.scrollHeight - element.clientHeight) * part;
        }, part);
        await settle();
        return rows(page);
    };
    await settle();
    assert.equal((await rows(page))[0].index, 0);
    const last = await to(1);
    assert.equal(last.at(-1).payload, "row 999999");
    const edge = await page.evaluate(() => window.all.element.getBoundingClientRect().bottom);
    assert.ok(Math.abs(last.at(-1).y + 24 - edge) <= 2, `the last row ends at ${last.at(-1).y + 24}, the list at ${edge}`);
    for (const where of [0.1, 0.25, 0.5, 0.9]) {
        const shown = (await to(where)).filter(({ y }) => y >= 0 && y < edge);
        assert.ok(Math.abs(shown[0].index / 1e6 - where) < 0.001, `${shown[0].index} at ${where}`);
        assert.ok(shown.every((row, at) => at === 0 || (row.y - shown[at - 1].y === 24 && row.index === shown[at - 1].index + 1)), "one below the other");
        assert.ok(await page.evaluate(() => document.querySelectorAll("*").length) < 1500);
    }
    // A notch of the wheel is some rows here, too, and not a thousand.
    const [before] = await to(0.5);
    await page.evaluate(() => (window.all.element.scrollTop += 100));
    await settle();
    const moved = (await rows(page))[0].index - before.index;
    assert.ok(moved >= 4 && moved <= 20, `${moved} rows`);
    // With keys one goes row by row.
    const [start] = (await to(0.5)).filter(({ y }) => y > 100);
    await page.locator(`[data-key="${start.key}"] .line`).click();
    await page.locator(`[data-key="${start.key}"] .detail`).waitFor();
    await page.evaluate(() => window.all.toggle());
    for (let step = 1; step <= 60; step += 1) {
        await page.evaluate(() => window.all.move(1));
        const focused = await page.evaluate(() => ({ index: Number(document.activeElement.dataset.index), y: document.activeElement.getBoundingClientRect().top }));
        assert.equal(focused.index, start.index + step);
        assert.ok(focused.y > 0 && focused.y < edge, `step ${step} at ${focused.y}`);
    }
});
