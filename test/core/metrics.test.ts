import { expect, test, vi } from "vitest";
import { describeScene, openCoreScene } from "./scene.ts";

describeScene("Core's metrics", openCoreScene, (scene) => {
  test("tell how the fleet does and what was reported, without a name of anybody", async () => {
    const { core, clock } = scene;
    const node = await core.enrol("counted");
    await core.enrol("silent");
    const { db } = core.database;
    await db.insertInto("node").values({ name: "new", host: "", ip: "", created_at: clock.now }).execute();
    const agent = core.agent("connect", node.key);
    await agent.heartbeat({ protocolVersion: 1 });
    const seen = () => db.selectFrom("node").select("last_seen_at").where("id", "=", node.nodeId).executeTakeFirst();
    await vi.waitFor(async () => expect((await seen())?.last_seen_at).toBe(clock.now), { timeout: 5_000 });
    const batch = { epoch: "e", seq: 1n };
    for (const _ of [1, 2]) await agent.reportOutboundUsage({ items: [{ tag: "x" }, { tag: "y" }], batch });
    const abort = new AbortController();
    const events = agent.watchConfig({}, { signal: abort.signal })[Symbol.asyncIterator]();
    await events.next();
    const shown = await core.metrics();
    abort.abort();
    await expect(events.next()).rejects.toThrow();
    for (const line of [
      'garrison_core_nodes{state="pending",garrison_service="core"} 1',
      'garrison_core_nodes{state="online",garrison_service="core"} 1',
      'garrison_core_nodes{state="offline",garrison_service="core"} 1',
      'garrison_core_nodes_sync{status="pending",garrison_service="core"} 2',
      'garrison_core_online_sessions{garrison_service="core"} 0',
      'garrison_core_drifting_inbounds{garrison_service="core"} 0',
      'garrison_core_watchers{garrison_service="core"} 1',
      'garrison_core_heartbeats_total{garrison_service="core"} 1',
      'garrison_core_reports_total{kind="outbound_usage",outcome="booked",garrison_service="core"} 1',
      'garrison_core_reports_total{kind="outbound_usage",outcome="duplicate",garrison_service="core"} 1',
      'garrison_core_report_entries_total{kind="outbound_usage",outcome="booked",garrison_service="core"} 0',
      'garrison_core_report_entries_total{kind="outbound_usage",outcome="quarantined",garrison_service="core"} 2',
      'garrison_core_report_entries_total{kind="usage",outcome="booked",garrison_service="core"} 0',
    ])
      expect(shown).toContain(`${line}\n`);
    expect(shown).toMatch(/garrison_core_revisions_published_total\{garrison_service="core"\} \d+/);
    expect(shown).not.toMatch(/counted|silent/);
    await vi.waitFor(async () =>
      expect(await core.metrics()).toContain('garrison_core_watchers{garrison_service="core"} 0'),
    );
  });
});
