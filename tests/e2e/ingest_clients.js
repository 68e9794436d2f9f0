/* What the InfluxDB clients of npm do, unmodified, against a pipeline: PORT of a source http. */
const { InfluxDB, Point } = require("@influxdata/influxdb-client");
const Influx = require("influx");
const port = Number(process.argv[2]);
const url = `http://127.0.0.1:${port}`;
const ROWS = 2500;

function fail(text) {
    console.error(text);
    process.exit(1);
}

async function second() {
    const api = new InfluxDB({ url, token: "t", writeOptions: { gzipThreshold: 100, batchSize: 500 } }).getWriteApi("org", "bucket", "ms");

    api.useDefaultTags({ host: "node" });
    for (let i = 0; i < ROWS; i++) {
        api.writePoint(new Point("npm v2").tag("n", "a b,c=" + (i % 3)).floatField("v", i / 7).intField("i", i)
            .stringField("s", 'q"\\' + i).timestamp(new Date(1767225600000 + i)));
    }
    await api.close();
    const bad = new InfluxDB({ url, token: "t", writeOptions: { maxRetries: 0 } }).getWriteApi("o", "b", "ns");
    bad.writeRecord("ok v=1");
    bad.writeRecord("not a line");
    try {
        await bad.close();
    } catch (error) {
        if (error.statusCode !== 400 || !error.message.includes("line 2"))
            fail(`an error that does not name the line: ${error.statusCode} ${error.message}`);
        return;
    }
    fail("a malformed line was no error");
}

async function first() {
    const client = new Influx.InfluxDB({ host: "127.0.0.1", port, database: "telegraf" });
    const pings = await client.ping(5000);

    if (!pings[0].online)
        fail("ping says offline");
    await client.createDatabase("telegraf");
    await client.writePoints([{ measurement: "npmv1", tags: { a: "x y" }, fields: { v: 1.5, s: "hi" } }]);
}

second().then(first).catch((error) => fail(error.stack));
