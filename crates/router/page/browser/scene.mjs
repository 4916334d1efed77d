// Messages as a small shop's services write them, the same ones each time, over the last so many minutes.

const PLACES = [
    ["gateway", [[6, "GET /api/items/{n} 200 in {ms} ms"], [6, "POST /api/cart 201 in {ms} ms"], [5, "client 10.0.3.{n} is over its rate, slowed down"], [4, "upstream checkout answered after {ms} ms"]]],
    ["checkout", [[6, "order {n} was paid"], [6, "order {n} was sent to the warehouse"], [4, "payment of order {n} is tried again, try {t}"], [3, "payment of order {n} was declined by the bank"]]],
    ["auth", [[6, "session of user {n} began"], [7, "token of user {n} is still good for {ms} s"], [4, "wrong password for user {n}, {t} in a row"]]],
    ["stock", [[7, "shelf {n} was counted"], [5, "item {n} is running low, {t} left"], [3, "connection to the database was lost: timed out"]]],
    ["worker", [[6, "job {n} done in {ms} ms"], [6, "mail to customer {n} is on its way"], [2, "queue is full, jobs are turned away"]]],
];

/** Numbers that look like chance. */
function chance(seed) {
    let state = seed;
    return () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return state / 2 ** 32;
    };
}

export function scene(count, minutes, end = Date.now()) {
    const next = chance(7);
    const among = (list) => list[Math.floor(next() * list.length)];
    return Array.from({ length: count }, (_, at) => {
        const [logger, lines] = among(PLACES);
        // What is severe is rare, but for a bad quarter of an hour.
        const bad = at / count > 0.62 && at / count < 0.7;
        const [severity, line] = next() < (bad ? 0.7 : 0.12) ? among(lines) : lines[0];
        const [n, ms, t] = [1000 + Math.floor(next() * 9000), 3 + Math.floor(next() ** 4 * 900), 2 + Math.floor(next() * 3)];
        const wave = 0.5 * Math.sin(at / count * 9) / 9;
        return {
            timestamp: new Date(end - minutes * 60_000 * (1 - at / count - wave * (at / count) * (1 - at / count))).toISOString(),
            type: "log", severity, logger, payload: line.replace("{n}", n).replace("{ms}", ms).replace("{t}", t),
            metlog_hostname: among(["ams-1", "ams-2", "fra-1"]), metlog_pid: 400 + Math.floor(next() * 4), env_version: "0.8",
            fields: { user_id: 40 + Math.floor(next() ** 2 * 30), status: severity <= 3 ? 500 : severity === 4 ? 429 : 200, duration_ms: ms, trace_id: `4bf92f35${(at >> 2).toString(16).padStart(8, "0")}` },
        };
    });
}
