import { afterEach, beforeEach, expect, test } from "vitest";
import { QueryStatsResponseSchema } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import { reply, startXrayStandIn, type XrayStandIn } from "../../../../test/engines/xray-stand-in.ts";
import { XrayApi } from "./api.ts";
import { createCounterReader, type ReadCounters } from "./traffic.ts";

let xray: XrayStandIn;
let api: XrayApi;
let readCounters: ReadCounters;
beforeEach(async () => {
  xray = await startXrayStandIn();
  api = new XrayApi(xray.socketPath);
  readCounters = createCounterReader(api);
});
afterEach(async () => {
  api.close();
  await xray.close();
});

const answer = (stats: Record<string, bigint>) => {
  const stat = Object.entries(stats).map(([name, value]) => ({ name, value }));
  xray.answer = (stream) => reply(stream, QueryStatsResponseSchema, { stat });
};

test("both directions of a name are one counter, whatever the name holds", async () => {
  answer({
    "user>>>a>>>traffic>>>uplink": 1n,
    "inbound>>>in>>>traffic>>>downlink": 5n,
    "user>>>a>>>traffic>>>downlink": 2n,
    "user>>>b>>>traffic>>>uplink>>>traffic>>>uplink": 3n,
    "outbound>>>user>>>a>>>traffic>>>uplink": 4n,
  });
  const link = "traffic";
  expect(await readCounters(undefined, 1_000)).toEqual([
    { kind: "user", name: "a", link, uplinkBytes: 1n, downlinkBytes: 2n },
    { kind: "inbound", name: "in", link, uplinkBytes: 0n, downlinkBytes: 5n },
    { kind: "user", name: "b>>>traffic>>>uplink", link, uplinkBytes: 3n, downlinkBytes: 0n },
    { kind: "outbound", name: "user>>>a", link, uplinkBytes: 4n, downlinkBytes: 0n },
  ]);
});

test("what is no traffic, of another kind, or of the API itself is left out", async () => {
  answer({
    "user>>>a>>>online": 1n,
    "user>>>>>>traffic>>>uplink": 2n,
    ">>>traffic>>>uplink": 3n,
    "nobody>>>a>>>traffic>>>uplink": 4n,
    "inbound>>>user>>>x>>>traffic>>>uplink": 5n,
    "inbound>>>API_INBOUND>>>traffic>>>uplink": 6n,
    "user>>>kept>>>traffic>>>downlink": 7n,
  });
  const names = async (kind?: "user" | "inbound") => (await readCounters(kind, 1_000)).map(({ name }) => name);
  expect(await names("user")).toEqual(["kept"]);
  expect(await names("inbound")).toEqual(["user>>>x"]);
});

test("a reading does not hang on those before it, whatever came and went", async () => {
  const reading = async (of: Record<string, bigint>, kind?: "user" | "outbound") => {
    answer(Object.fromEntries(Object.entries(of).map(([name, value]) => [`${name}>>>traffic>>>uplink`, value])));
    return (await readCounters(kind, 1_000)).map(({ kind, name, uplinkBytes }) => `${kind} ${name} ${uplinkBytes}`);
  };
  expect(await reading({ "user>>>a": 1n, "user>>>b": 2n, "outbound>>>a": 3n })).toEqual([
    "user a 1",
    "user b 2",
    "outbound a 3",
  ]);
  expect(await reading({ "outbound>>>a": 4n, "outbound>>>c": 5n }, "outbound")).toEqual([
    "outbound a 4",
    "outbound c 5",
  ]);
  expect(await reading({ "user>>>b": 6n, "user>>>d": 7n, "user>>>a": 8n }, "user")).toEqual([
    "user b 6",
    "user d 7",
    "user a 8",
  ]);
  const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, index) => [`user>>>${index}`, BigInt(index)]));
  expect(await reading(many)).toHaveLength(3_000);
  expect(await reading({ "user>>>7": 1n })).toEqual(["user 7 1"]);
  expect(await reading({ "user>>>a": 9n, "user>>>7": 2n })).toEqual(["user a 9", "user 7 2"]);
});
