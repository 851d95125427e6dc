import { afterEach, beforeEach, expect, test } from "vitest";
import { QueryStatsResponseSchema } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import { reply, startXrayStandIn, type XrayStandIn } from "../../../../test/engines/xray-stand-in.ts";
import { XrayApi } from "./api.ts";
import { readCounters } from "./traffic.ts";

let xray: XrayStandIn;
let api: XrayApi;
beforeEach(async () => {
  xray = await startXrayStandIn();
  api = new XrayApi(xray.socketPath);
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
  expect(await readCounters(api, undefined, 1_000)).toEqual([
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
  const names = async (kind?: "user" | "inbound") => (await readCounters(api, kind, 1_000)).map(({ name }) => name);
  expect(await names("user")).toEqual(["kept"]);
  expect(await names("inbound")).toEqual(["user>>>x"]);
});
