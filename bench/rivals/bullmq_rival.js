/*
 * BullMQ, one process; a worker runs 100 jobs at once.
 *
 *   bullmq_rival.js submit SECONDS [BATCH]   one client, one by one or with addBulk: jobs a second
 *   bullmq_rival.js drain JOBS               jobs a second by one worker
 *   bullmq_rival.js latency RATE SECONDS     median and 99th percentile, ms
 *   bullmq_rival.js fill JOBS                put jobs there
 *
 * REDIS_URL says where, NODE_PATH where BullMQ is.
 */
const { fork } = require("child_process");
const { Queue, Worker } = require("bullmq");

const url = new URL(process.env.REDIS_URL);
const connection = { host: url.hostname, port: Number(url.port), maxRetriesPerRequest: null };
const PAYLOAD = { data: "x".repeat(88) };
const now = () => Number(process.hrtime.bigint()) / 1e6;
const sleep = (ms) => new Promise((done) => setTimeout(done, Math.max(0, ms)));

function work() {
  const took = [];
  let done = 0, began = 0;
  new Worker("bench", async (job) => {
    if (job.name === "stamp") took.push(now() - job.data.sent);
    if (++done === 1) began = now();
    if (done === Number(process.argv[3])) {
      if (job.name === "stamp") {
        const found = took.slice(50).sort((a, b) => a - b);
        process.send([found[found.length >> 1], found[Math.floor(found.length * 0.99)]]);
      } else {
        process.send([(done - 1) / (now() - began) * 1000]);
      }
    }
  }, { connection, concurrency: 100 });
}

const worker = (jobs) => new Promise((answered) => {
  const child = fork(__filename, ["work", String(jobs)]);
  child.on("message", (figures) => {
    child.kill();
    answered(figures.join(" "));
  });
});

async function main() {
  const what = process.argv[2], first = Number(process.argv[3]), second = Number(process.argv[4] || 1);
  if (what === "work") return work();
  const queue = new Queue("bench", { connection });
  const pushMany = (count) =>
    queue.addBulk(Array.from({ length: count }, () => ({ name: "noop", data: PAYLOAD })));

  if (what === "submit") {
    const began = now();
    let done = 0;
    while (now() - began < first * 1000) {
      await (second > 1 ? pushMany(second) : queue.add("noop", PAYLOAD));
      done += second;
    }
    console.log(done / (now() - began) * 1000);
  } else if (what === "latency") {
    const jobs = Math.floor(first * second), answer = worker(jobs);
    await sleep(2000);
    const began = now();
    for (let number = 0; number < jobs; number++) {
      await sleep(began + number * 1000 / first - now());
      await queue.add("stamp", { sent: now() });
    }
    console.log(await answer);
  } else {
    for (let number = 0; number < first; number += 1000) await pushMany(1000);
    if (what === "drain") console.log(await worker(first));
  }
  await queue.close();
  process.exit(0);
}

main();
