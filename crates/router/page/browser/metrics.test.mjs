// Metrics: what is shown is what was sent, in the list, in the picture and in its table.

import assert from "node:assert/strict";
import { accessible, check, curated, fits, message, part, picture, says, until } from "./harness.mjs";

const MINUTE = 60_000;
const at = (ms) => new Date(ms).toISOString();
const timer = (name, ms, when, more = {}) => message(0, { type: "timer", payload: String(ms), timestamp: at(when), ...more, fields: { name, rate: more.rate ?? 1 } });
const counter = (name, by, when, more = {}) => message(0, { type: "counter", payload: String(by), timestamp: at(when), ...more, fields: { name, rate: more.rate ?? 1 } });

/** The row of a timer or counter, as its cells say it. */
const row = (page, kind, name, logger = "web") => page.locator(`[data-test="${kind}-row"][data-name="${name}"][data-logger="${logger}"]`);
const cells = async (page, kind, name, logger) => (await row(page, kind, name, logger).locator("td.number").allInnerTexts()).map((text) => text.trim());
const listed = async (page, kind) => page.locator(`[data-test="${kind}-row"]`).evaluateAll((rows) => rows.map((one) => `${one.dataset.name} ${one.dataset.logger}`));

check("timers and counters are what was sent, altogether and slot by slot", { allow: [/^answer: 400 GET \/v1\/messages/] }, async ({ router, open }) => {
    const page = await open("#/metrics?range=15m");
    await part(page, "metrics-none").waitFor();
    await picture(page, "metrics-none");
    await accessible(page, "metrics without any");

    // Two slots of 30 s, five minutes ago and just after, and nothing around them.
    const slot = Math.floor((Date.now() - 5 * MINUTE) / 30_000) * 30_000;
    await router.send(
        ...Array.from({ length: 100 }, (_, number) => timer("db.query", number + 1, slot + 1000 + number)),
        timer("db.query", 200, slot + 31_000), timer("db.query", 400, slot + 32_000),
        timer("db.query", 7, slot + 2000, { logger: "api" }),
        ...Array.from({ length: 60 }, (_, number) => counter("login", 5, slot + 1000 + number, { rate: 0.5 })),
        counter("login", 90, slot + 40_000), counter("login", 1, slot + 3000, { logger: "api" }),
        counter("<img src=x onerror=pwned(1)>", 3, slot + 3000),
        timer("db.query", "soon", slot + 1000),
    );
    const asked = [];
    page.on("request", (request) => request.url().includes("/tally") && asked.push(new URL(request.url()).searchParams));
    // By itself, before long.
    await row(page, "timer", "db.query").waitFor();
    assert.ok(asked.length > 0 && asked.every((one) => one.get("courses") === "true" && one.get("buckets") === "30"), "one question for all slots");

    assert.deepEqual(await cells(page, "timer", "db.query"), ["51 ms", "92 ms", "200 ms", "400 ms", "102"]);
    assert.deepEqual(await cells(page, "timer", "db.query", "api"), ["7 ms", "7 ms", "7 ms", "7 ms", "1"]);
    const [rate, sum] = await cells(page, "counter", "login");
    // 60 times 5, half of them sent, and 90; in the fifteen minutes that the slots span, of which the last is open.
    assert.equal(sum, "690");
    const perSecond = Number(/^([\d.]+)\/s$/.exec(rate)[1]);
    assert.ok(perSecond >= 690 / 900 - 0.01 && perSecond <= 690 / 870 + 0.01, rate);
    assert.deepEqual(await listed(page, "counter"), ["login web", "<img src=x onerror=pwned(1)> web", "login api"]);
    await says(page, "metrics-note", /1 message without a number left out/);
    // Each row has its course, and it is drawn only where something was.
    const drawn = await row(page, "timer", "db.query").locator(".spark .trace").getAttribute("d");
    assert.match(drawn, /^M[\d.]+ [\d.]+L[\d.]+ [\d.]+$/, "two slots, one line");

    // The picture: the most frequent timer first, slot by slot with the keyboard.
    await says(page, "metric-title", /^db\.query · web$/);
    await says(page, "readout", /^In all this time: p50 51 ms, p90 92 ms, p99 200 ms, most 400 ms, 102 times$/);
    assert.equal(await part(page, "plot").locator(".band").count(), 2);
    await part(page, "plot-frame").focus();
    const clock = (ms) => at(ms).slice(11, 19);
    const first = new RegExp(`^${clock(slot)} – ${clock(slot + 30_000)}: p50 50 ms, p90 90 ms, p99 99 ms, most 100 ms, 100 times messages$`);
    await until("the first of both slots", async () => {
        if (first.test(await part(page, "readout").innerText())) return true;
        await page.keyboard.press("ArrowLeft");
        return false;
    });
    await page.keyboard.press("ArrowRight");
    await says(page, "readout", /p50 200 ms, p90 400 ms, p99 400 ms, most 400 ms, 2 times/);
    await page.keyboard.press("ArrowRight");
    await says(page, "readout", /: nothing$/);
    // The same for those who see no pictures.
    await part(page, "plot-table").locator("summary").click();
    const lines = await part(page, "plot-table").locator("tbody tr").allInnerTexts();
    assert.equal(lines.length, 30);
    const told = lines.map((line) => line.split("\t").map((text) => text.trim())).filter((line) => line[1] !== "–");
    assert.deepEqual(told.map((line) => line.slice(1)), [["50 ms", "90 ms", "99 ms", "100 ms", "100"], ["200 ms", "400 ms", "400 ms", "400 ms", "2"]]);

    // A counter: a rate, and noughts where nothing came.
    await row(page, "counter", "login").getByRole("button").click();
    await says(page, "metric-title", /^login · web$/);
    assert.match(new URL(page.url()).hash, /pick=/);
    const counts = (await part(page, "plot-table").locator("tbody tr").allInnerTexts()).map((line) => line.split("\t").map((text) => text.trim()));
    assert.deepEqual(counts.filter((line) => !/^(–|0\/s)$/.test(line[1])).map((line) => line.slice(1)), [["20/s", "600"], ["3/s", "90"]]);
    const courses = await part(page, "plot").locator(".trace").getAttribute("d");
    assert.equal(courses.match(/L/g).length, 29, "a line from end to end");

    // With the mouse, and from there to the messages of that slot, of which there are as many.
    await part(page, "plot-table").locator("summary").click();
    await until("the slot of 600", async () => {
        await part(page, "plot-frame").scrollIntoViewIfNeeded();
        const box = await part(page, "plot-frame").boundingBox();
        for (let x = 70; x < box.width; x += 12) {
            await page.mouse.move(box.x + x, box.y + 100);
            if (/20\/s, 600 altogether/.test(await part(page, "readout").innerText())) return true;
        }
        return false;
    });
    await part(page, "slot-messages").click();
    await says(page, "count", /\b60 messages/);
    await page.goBack();
    await says(page, "metric-title", /^login · web$/);

    // Only some of them, in another order, and a mistake that takes nothing away.
    await part(page, "metrics-query").fill("logger:api");
    await page.keyboard.press("Enter");
    await until("only those of api", async () => (await listed(page, "timer")).join() === "db.query api" && (await listed(page, "counter")).join() === "login api");
    await part(page, "metrics-query").fill("(logger:api");
    await page.keyboard.press("Enter");
    await says(page, "metrics-error", /^At character 1: .*missing/);
    assert.deepEqual(await listed(page, "timer"), ["db.query api"], "what was there stays");
    await part(page, "metrics-query").fill("");
    await page.keyboard.press("Enter");
    await until("all of them", async () => (await listed(page, "timer")).length === 2);
    assert.equal(await part(page, "metrics-error").isVisible(), false);
    await part(page, "metrics-sort").selectOption("logger");
    await until("by logger", async () => (await listed(page, "timer")).join() === "db.query api,db.query web");
    await page.reload();
    await until("as the address says", async () => (await listed(page, "timer")).join() === "db.query api,db.query web");
    await page.goBack();
    await says(page, "metrics-error", /^At character 1: .*missing/);
});

check("metrics look as they should", {}, async ({ router, open }) => {
    const now = Date.now();
    const wave = (minutes, low, high) => low + (high - low) * (0.5 + 0.5 * Math.sin(minutes / 7));
    const sent = [];
    for (let minute = 59; minute >= 0; minute -= 1) {
        const when = now - minute * MINUTE;
        const busy = wave(minute, 4, 30);
        for (let number = 0; number < busy; number += 1) {
            // Most are fast and some are slow.
            const spread = 1 + 6 * (number / busy) ** 8;
            sent.push(timer("db.query", (wave(minute, 3, 9) * spread).toFixed(2), when + number));
            if (number % 2) sent.push(timer("render", (wave(minute + 9, 20, 35) * spread).toFixed(1), when + number));
            if (number % 5 === 0) sent.push(timer("payment.authorise", (wave(minute + 3, 180, 420) * spread).toFixed(0), when + number, { logger: "shop" }));
        }
        sent.push(counter("requests", Math.round(wave(minute, 800, 3000)), when), counter("login", Math.round(wave(minute + 4, 2, 40)), when));
        sent.push(counter("bytes_sent", Math.round(wave(minute, 1e6, 9e6)), when, { logger: "shop" }));
        if (minute % 9 === 0) sent.push(counter("login.failed", 1 + (minute % 4), when));
    }
    await router.send(...sent);
    await router.stored(sent.length);
    for (const theme of ["light", "dark"]) {
        const page = await open("#/metrics", { theme });
        await until("all rows", async () => (await listed(page, "timer")).length === 3 && (await listed(page, "counter")).length === 4);
        await accessible(page, `metrics, ${theme}`);
        await (theme === "dark" ? curated(page, "metrics") : picture(page, "metrics-light"));
        await page.setViewportSize({ width: 390, height: 800 });
        await until("drawn anew", async () => (await part(page, "plot").boundingBox()).width < 390);
        await fits(page, "metrics on a phone");
        await accessible(page, `metrics on a phone, ${theme}`);
        await picture(page, `metrics-phone-${theme}`);
        await part(page, "plot-table").locator("summary").click();
        await fits(page, "the course as a table on a phone");
        await accessible(page, `the course as a table, ${theme}`);
    }
});
