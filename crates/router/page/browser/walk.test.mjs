// Live and Search with the keyboard alone; colours and motion as one likes them.

import assert from "node:assert/strict";
import { accessible, check, message, part, picture, rows, says, until } from "./harness.mjs";
import { scene } from "./scene.mjs";

check("/ j k Enter f t ? and Esc are enough to read", { allow: [/^answer: 400/] }, async ({ router, open }) => {
    await router.send(...scene(300, 50), message(1, { payload: "the needle", severity: 3, fields: { colour: "red" } }));
    await router.stored(301);
    const page = await open("#/live");
    const press = async (...keys) => {
        for (const key of keys) await page.keyboard.press(key);
    };
    const focused = () => page.evaluate(() => document.activeElement.dataset.test ?? document.activeElement.id);
    const active = () => page.evaluate(() => Number(document.querySelector(".message.active")?.dataset.index ?? -1));
    await until("the newest", async () => (await rows(page))[0]?.payload === "the needle");

    await press("?");
    await part(page, "help").waitFor();
    for (const key of ["/", "j", "k", "Enter", "f", "t", "Escape"]) assert.ok((await part(page, "help").locator("kbd").allInnerTexts()).includes(key), key);
    await picture(page, "help-live");
    await press("Escape");
    await part(page, "help").waitFor({ state: "detached" });

    await press("j");
    assert.equal(await active(), 0);
    await press("j", "j", "k");
    assert.equal(await active(), 1);
    assert.equal(await focused(), "row");
    await press("k", "Enter");
    await part(page, "detail").waitFor();
    await says(page, "detail", /red/);
    await press("Enter");
    await part(page, "detail").waitFor({ state: "detached" });
    await press("f");
    await says(page, "follow", /Following/);
    await press("f");
    await says(page, "follow", /Paused/);
    await press("t");
    assert.equal(await focused(), "range");
    await press("Escape");

    await press("2");
    await part(page, "view-search").waitFor();
    await until("there is an answer", async () => (await rows(page)).length > 5);
    await press("/");
    assert.equal(await focused(), "query");
    await page.keyboard.type("needle j/k");
    await press("Escape", "Escape");
    assert.notEqual(await focused(), "query", "the keys are keys again");
    await press("/");
    // What is written there is chosen, so that one writes over it.
    await page.keyboard.type("needle");
    await press("Enter");
    await until("one is found", async () => (await part(page, "count").getAttribute("data-total")) === "1");
    await press("Escape", "j");
    assert.equal(await active(), 0);
    await press("Enter");
    await part(page, "detail").waitFor();
    // On with the tab key: to what can be done with it.
    for (let step = 0; (await focused()) !== "filter-out" && step < 60; step += 1) await press("Tab");
    assert.equal(await focused(), "filter-out");
    await press("Enter");
    await until("its opposite", async () => /-/.test(await part(page, "query").inputValue()));
    // Down the list as far as one likes: it scrolls along.
    await press("/");
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Delete");
    await press("Enter");
    await until("all", async () => (await part(page, "count").getAttribute("data-total")) === "301");
    await press("Escape");
    for (let step = 0; step < 60; step += 1) await press("j");
    await until("row 59", async () => (await active()) === 59);
    const inside = await page.evaluate(() => {
        const [row, list] = [document.querySelector(".message.active"), document.querySelector("[data-test=list]")].map((one) => one.getBoundingClientRect());
        return row.top >= list.top && row.bottom <= list.bottom;
    });
    assert.ok(inside, "it is in sight");
    await press("g");
    await until("the top", async () => (await rows(page))[0].index === 0);
    await press("f");
    await part(page, "view-live").waitFor();
});

check("dark, light, or as the system has it; and still, for those who asked for that", {}, async ({ router, open }) => {
    await router.send(message(1));
    await router.stored(1);
    const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const brightness = (colour) => Math.max(...colour.match(/\d+/g).map(Number));
    const page = await open("#/search", { theme: "dark" });
    assert.ok(brightness(await ground(page)) < 60, "as the system has it");
    await page.emulateMedia({ colorScheme: "light" });
    assert.ok(brightness(await ground(page)) > 200, "the system changes, and so does the page");
    await part(page, "theme").click();
    await part(page, "theme").click();
    assert.ok(brightness(await ground(page)) < 60, "dark, whatever the system says");
    assert.match(await part(page, "theme").getAttribute("aria-label"), /dark/i);
    await page.reload();
    await part(page, "row").waitFor();
    assert.ok(brightness(await ground(page)) < 60, "and it stays so");
    await part(page, "row").locator(".line").click();
    await accessible(page, "search, dark by choice");
    await picture(page, "search-dark");

    const moving = () => page.evaluate(() => document.getAnimations().length);
    await part(page, "share").click();
    await part(page, "toast-done").waitFor();
    assert.equal(await moving(), 0, "nothing moves");
    const other = await open("#/search", { motion: "no-preference" });
    await part(other, "row").waitFor();
    await part(other, "share").click();
    await part(other, "toast-done").waitFor();
    assert.notEqual(await part(other, "toast-done").evaluate((toast) => getComputedStyle(toast).animationName), "none");
});
