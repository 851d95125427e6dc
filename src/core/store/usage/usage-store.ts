import type { Transaction } from "kysely";
import type { Database } from "../../../platform/storage/database.ts";
import type { Booking, UsageStore } from "../../domain/usage/usage-store.ts";
import { markNodes, usualDebounce } from "../publications.ts";
import type { CoreSchema } from "../schema.ts";
import { asideText } from "./aside-text.ts";
import { createCounters } from "./counters.ts";
import { createLookups } from "./lookups.ts";
import { createOnlineSessions } from "./online-sessions.ts";
import { createRows } from "./rows.ts";
import { createStreams } from "./streams.ts";

/** Books in Core's database. */
export function createUsageStore(database: Database<CoreSchema>): UsageStore {
  const streams = createStreams(database);
  const lookups = createLookups(database);
  const counters = createCounters(database);
  const rows = createRows();
  const online = createOnlineSessions();
  const bookingOf = (tx: Transaction<CoreSchema>): Booking => ({
    stream: (key) => streams.find(key, tx),
    advance: (key, state) => streams.advance(key, state, tx),
    noteGap: (key, gap, now) => streams.noteGap(key, gap, now, tx),
    node: (nodeId) => lookups.node(nodeId, tx),
    unknownAccounts: (ids) => lookups.unknownAccounts(ids, tx),
    notable: (claims, now) => lookups.notable(claims, now, tx),
    outboundTags: (nodeId) => lookups.outboundTags(nodeId, tx),
    beginPeriods: (periods) => counters.beginPeriods(periods, tx),
    refuse: (ids, reason) => counters.refuse(ids, reason, tx),
    noteNews: (subscriptionIds, now) => markNodes(tx, { subscriptionIds }, "quota", now, usualDebounce),
    addToSubscriptions: (claims) => counters.addToSubscriptions(claims, tx),
    addToOutbounds: (nodeId, items) => counters.addToOutbounds(nodeId, items, tx),
    addRows: (nodeId, added) => rows.addUsage(nodeId, added, tx),
    addInbounds: (nodeId, day, inbounds) => rows.addInbounds(nodeId, day, inbounds, tx),
    async addSessionEvents(nodeId, events) {
      await rows.addSessionEvents(nodeId, events, tx);
      await online.follow(nodeId, events, tx);
    },
    keepAside: (nodeId, kind, aside, now) =>
      rows.addQuarantined(
        aside.flatMap(({ reason, entry }) => [nodeId, kind, reason, asideText(entry), now]),
        tx,
      ),
  });
  // Every statement locks the rows that it depends on, so that none has to be tried again.
  return { book: (work) => database.groupTransaction((tx) => work(bookingOf(tx))) };
}
