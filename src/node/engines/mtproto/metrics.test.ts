import { expect, test } from "vitest";
import { parseMetrics } from "./metrics.ts";

/** As telemt 3.4.25 wrote it. */
const recorded = `# HELP telemt_uptime_seconds Proxy uptime
telemt_uptime_seconds 7.7
telemt_telemetry_user_enabled 1
telemt_rate_limiter_wait_ms_total{scope="user",direction="up"} 0
telemt_user_connections_total{user="alice"} 2
telemt_user_connections_current{user="alice"} 0
telemt_user_octets_from_client{user="alice"} 150128
telemt_user_octets_to_client{user="alice"} 370000
telemt_user_connections_total{user="bob"} 1
telemt_user_connections_current{user="bob"} 1
telemt_user_octets_from_client{user="bob"} 1064
telemt_user_octets_to_client{user="bob"} 2000
telemt_user_unique_ips_current{user="bob"} 1
telemt_telemetry_user_series_suppressed 0
telemt_telemetry_user_series_users{family="stats",status="suppressed"} 0
`;

test("reads both directions and the connections of users", () => {
  expect(parseMetrics(recorded)).toEqual({
    users: new Map([
      ["alice", { uplinkBytes: 150_128n, downlinkBytes: 370_000n, connections: 0 }],
      ["bob", { uplinkBytes: 1_064n, downlinkBytes: 2_000n, connections: 1 }],
    ]),
    suppressed: false,
  });
});

test("counters of any size are exact", () => {
  const large = recorded.replace("370000", "18446744073709551615");
  expect(parseMetrics(large)?.users.get("alice")?.downlinkBytes).toBe(2n ** 64n - 1n);
});

test("tells that there are users whose counters are not shown", () => {
  const capped = recorded.replace("suppressed 0", "suppressed 1");
  expect(parseMetrics(capped.replace('"suppressed"} 0', '"suppressed"} 7'))?.suppressed).toBe(true);
  expect(parseMetrics(capped.replace(/.*family=.*\n/, ""))?.suppressed).toBe(true);
  // Then it is their addresses.
  expect(parseMetrics(capped)?.suppressed).toBe(false);
});

test.each([
  ["nothing", ""],
  ["a page", "<html>telemt_telemetry_user_enabled 1</html>"],
  ["a telemt that does not count users", recorded.replace("user_enabled 1", "user_enabled 0")],
  ["a counter that is no number", recorded.replace("150128", "NaN")],
  ["a counter of several things", recorded.replaceAll('user="alice"', 'user="alice",dc="2"')],
])("%s is no reading", (_what, text) => {
  expect(parseMetrics(text)).toBeUndefined();
});
