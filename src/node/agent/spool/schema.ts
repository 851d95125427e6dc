import type { Generated } from "kysely";
import type { Migration } from "../../../platform/storage/migrations.ts";

/** The columns that can pass 2^53, and are bigint. */
export const int64Columns = ["bytes_up", "bytes_down"] as const;

/** What the spool keeps. Times are milliseconds since 1970, flags are 0 or 1. */
export interface SpoolSchema {
  readonly baseline: BaselineTable;
  readonly life: LifeTable;
  readonly gap: GapTable;
  readonly usage_bucket: UsageBucketTable;
  readonly inbound_bucket: InboundBucketTable;
  readonly outbound_bucket: OutboundBucketTable;
  readonly session_event: SessionEventTable;
  readonly stream: StreamTable;
  readonly sealed: SealedTable;
  readonly fault: FaultTable;
}

/** What an engine's counter had counted when it was read last. */
interface BaselineTable {
  /** The engine, such as `xray`. */
  engine: string;
  incarnation: string;
  /** `user`, `inbound` or `outbound`. */
  kind: string;
  name: string;
  link: string;
  bytes_up: bigint;
  bytes_down: bigint;
}

/** The incarnation of an engine that was read last. */
interface LifeTable {
  engine: string;
  incarnation: string;
  /** When it was read last, and had grown. */
  read_at: number;
  /** Its end is accounted for: what it had counted last was read, or a gap is noted. */
  ended: number;
}

/** An incarnation that took along what it had counted since it was read last, and is no fault yet. */
interface GapTable {
  engine: string;
  incarnation: string;
  /** Null: it never was. */
  read_at: number | null;
}

/** Traffic of a link in a minute that is in no batch yet. */
interface UsageBucketTable {
  /** The start of the minute, or of the hour where it is coarse. */
  minute: number;
  coarse: number;
  node_protocol_id: number;
  link_uuid: string;
  /** 0: nobody knew the link when it was counted. */
  user_id: number;
  /** 0: none. */
  subscription_id: number;
  bytes_up: bigint;
  bytes_down: bigint;
}

/** Traffic of an inbound that is in no batch yet. */
interface InboundBucketTable {
  node_protocol_id: number;
  bytes_up: bigint;
  bytes_down: bigint;
}

/** Traffic of an outbound that is in no batch yet. */
interface OutboundBucketTable {
  tag: string;
  bytes_up: bigint;
  bytes_down: bigint;
}

/** A session event that is in no batch yet. */
interface SessionEventTable {
  id: Generated<number>;
  /** A `SessionEventEntry` in its binary form. */
  event: Uint8Array;
}

/** How far the batches of a kind are numbered. */
interface StreamTable {
  kind: string;
  epoch: string;
  last_seq: number;
  /** The batches from this number up to the next one are lost; 0: none is. */
  lost_from: number;
}

/** The batch of a kind that is numbered and not acknowledged: one at the most. */
interface SealedTable {
  kind: string;
  seq: number;
  /** The request in its binary form, without its batch. */
  request: Uint8Array;
  sealed_at: number;
  /** When that was by the clock of the system's run, in milliseconds, and which run. */
  sealed_uptime: number;
  boot_id: string;
}

/** Something that went wrong, and that Core was not told of. */
interface FaultTable {
  id: number;
  /** A `ReportErrorRequest` in its binary form. */
  request: Uint8Array;
}

/** The steps of the schema. */
export const migrations: readonly Migration[] = [
  {
    name: "0001-spool",
    sql: `
      create table baseline (
        engine text not null,
        incarnation text not null,
        kind text not null,
        name text not null,
        link text not null,
        bytes_up integer not null,
        bytes_down integer not null,
        primary key (engine, kind, name, link)
      ) without rowid;
      create table usage_bucket (
        minute integer not null,
        coarse integer not null,
        node_protocol_id integer not null,
        link_uuid text not null,
        user_id integer not null,
        subscription_id integer not null,
        bytes_up integer not null,
        bytes_down integer not null,
        primary key (minute, coarse, node_protocol_id, link_uuid, user_id, subscription_id)
      ) without rowid;
      create table inbound_bucket (
        node_protocol_id integer primary key,
        bytes_up integer not null,
        bytes_down integer not null
      );
      create table outbound_bucket (
        tag text primary key,
        bytes_up integer not null,
        bytes_down integer not null
      ) without rowid;
      create table session_event (id integer primary key, event blob not null);
      create table stream (
        kind text primary key,
        epoch text not null,
        last_seq integer not null,
        lost_from integer not null
      ) without rowid;
      create table sealed (
        kind text primary key,
        seq integer not null,
        request blob not null,
        sealed_at integer not null,
        sealed_uptime integer not null,
        boot_id text not null
      );
    `,
  },
  {
    name: "0002-faults",
    sql: "create table fault (id integer primary key, request blob not null)",
  },
  {
    name: "0003-gaps",
    sql: `
      create table life (
        engine text primary key,
        incarnation text not null,
        read_at integer not null,
        ended integer not null
      ) without rowid;
      create table gap (
        engine text not null,
        incarnation text not null,
        read_at integer,
        primary key (engine, incarnation)
      ) without rowid;
    `,
  },
];
