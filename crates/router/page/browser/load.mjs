// Makes load: writes messages to a TCP input, so many a second, until its standard input ends. Says what it has sent.
// `node load.mjs tcp://127.0.0.1:1234 20000`

import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const [address, rate] = process.argv.slice(2);
const { hostname, port } = new URL(address.replace("tcp:", "http:"));
const socket = connect(Number(port), hostname);
await once(socket, "connect");
let ended = false;
process.stdin.resume().on("end", () => (ended = true));

const begun = performance.now();
let sent = 0;
while (!ended) {
    const due = Math.min(Math.floor(((performance.now() - begun) / 1000) * Number(rate)) - sent, 2000);
    const lines = [];
    const timestamp = new Date().toISOString();
    for (let at = 0; at < due; at += 1) {
        const number = sent + at;
        lines.push(`{"timestamp":"${timestamp}","type":"log","severity":${number % 50 ? 6 : number % 8},"logger":"load","payload":"request ${number} was answered","metlog_pid":1,"metlog_hostname":"here","env_version":"0.8","fields":{"number":${number},"path":"/api/items/${number % 97}","status":${number % 13 ? 200 : 404}}}\n`);
    }
    sent += due;
    if (lines.length && !socket.write(lines.join(""))) await once(socket, "drain");
    await sleep(10);
}
socket.end();
await once(socket, "close");
console.log(sent);
