import { hostname, networkInterfaces, uptime as systemUptime } from "node:os";
import { join } from "node:path";
import type { Registry } from "prom-client";
import { certificateSha256 } from "../../platform/identity/authority.ts";
import { bootId } from "../../platform/proc.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type { EngineEvents } from "../engines/engine.ts";
import type { SystemStats } from "../runtime/system-stats.ts";
import type { AgentSettings, EnrolmentSettings } from "./agent-variables.ts";
import { createContact } from "./contact/contact.ts";
import { CoreAway, type CoreClient, createCoreClient } from "./contact/core-client.ts";
import { createCoreClock } from "./contact/core-clock.ts";
import { type CoreIdentity, keepIdentity, readIdentity } from "./contact/identity.ts";
import { type DrivenEngines, type Driving, startDriving } from "./driving.ts";
import type { EngineName } from "./engines/driven-engine.ts";
import { enrol, identityFile } from "./enrolment.ts";
import { ownAddress } from "./own-address.ts";
import { createPace } from "./pace.ts";
import { openSpool } from "./spool/open-spool.ts";
import { openSessions } from "./usage/sessions.ts";

/** What Core is to this node: it says what the engines run, and is told what they carry. */
export interface Agent {
  /** Hears what an engine tells, too. */
  hear(engine: EngineName, events: EngineEvents): EngineEvents;
  /** Takes the engines over: from now on Core drives them. */
  drive(engines: DrivenEngines): void;
  /** Ends driving. The engines are ended in between, so that what they count last is kept. */
  close(endEngines: () => Promise<void>): Promise<void>;
}

/** Options of {@link openAgent}. */
export interface AgentOptions {
  /** Undefined: all is as in the identity that is kept. */
  readonly settings: AgentSettings | undefined;
  /** The agent's own directory, which exists: identity, spool and last good config. */
  readonly directory: string;
  readonly version: string;
  /** The port of the node's own API. */
  readonly port: number;
  /** What the node can do, such as `xray` and `mtproto`. */
  readonly capabilities: readonly string[];
  readonly system: Pick<SystemStats, "current">;
  readonly registry: Registry;
  readonly log: Logger;
}

/**
 * Opens what an agent keeps; nothing is driven yet, and nobody is called. Throws `IdentityUnusable` and what the spool
 * throws.
 */
export async function openAgent(options: AgentOptions): Promise<Agent> {
  const { settings, directory, version, capabilities, log } = options;
  let identity = await readIdentity(identityFile(directory));
  const uptime = () => systemUptime() * 1_000;
  const clock = createCoreClock({ wall: Date.now, uptime });
  const spool = await openSpool({
    file: join(directory, "spool.db"),
    clock: { now: clock.now, uptime, bootId: bootId() },
  });
  const sessions = await openSessions(join(directory, "sessions.json"), clock.now);
  const carriedBefore = await spool.unacknowledged();
  const gapsBefore = await spool.gaps();
  const faultsBefore = await spool.faults.read();
  const closing = new AbortController();
  const { signal } = closing;
  let client: CoreClient | undefined;
  let driving: Driving | undefined;
  let beginning: Promise<void> = Promise.resolve();
  let enrolledAgain: Promise<void> | undefined;
  const contact = createContact({
    client: {
      async call(make, bounds) {
        if (client === undefined) throw new CoreAway("this server is not a node of Core yet", undefined, undefined);
        return client.call(make, bounds);
      },
    },
    now: Date.now,
    signal,
    log,
  });

  async function enrolled(): Promise<CoreIdentity | undefined> {
    const enrolment = settings?.enrolment;
    if (identity !== undefined) return identity;
    if (enrolment === undefined) {
      log.error("this server is not a node of Core: make an enrolment code there, and put it in CORE_ENROLMENT_CODE");
      return undefined;
    }
    return enrolWith(enrolment);
  }

  function enrolWith(enrolment: EnrolmentSettings): Promise<CoreIdentity> {
    const facts = {
      ...{ name: hostname(), ip: ownAddress(networkInterfaces()), port: options.port },
      ...{ agentVersion: version, capabilities },
    };
    return enrol({ settings: enrolment, directory, facts, signal, log });
  }

  /**
   * What an operator does about a key that was revoked: the node has been started with another code. Tried once, since a
   * code is good for one enrolment; and only at the same Core, whose users are those in the spool.
   */
  async function enrolAgain(): Promise<void> {
    const enrolment = settings?.enrolment;
    if (enrolment === undefined || enrolment.caSha256 !== authorityOf(identity)) return;
    try {
      identity = await enrolWith(enrolment);
    } catch (error) {
      if (!signal.aborted) log.error(error instanceof Error ? error.message : `${error}`);
    }
  }

  async function begin(): Promise<void> {
    try {
      identity = await enrolled();
      if (identity === undefined) return;
      const { urls, authority, installId, nodeId } = identity;
      const named = settings?.urls ?? [];
      client = createCoreClient({
        urls: named.length > 0 ? named : urls,
        ...{ authority, signal, authKey: () => identity?.authKey },
        keyRefused() {
          enrolledAgain ??= enrolAgain();
          return enrolledAgain;
        },
      });
      log.info({ nodeId }, "Core drives this node");
      driving?.begin(installId);
    } catch (error) {
      if (!signal.aborted) log.error(error instanceof Error ? error.message : `${error}`);
    }
  }

  async function rotateKey(): Promise<void> {
    if (identity === undefined) return;
    const { authKey } = await contact.call((core, call) => core.rotateKey({}, call));
    // Kept before it is used: from its first use on the old one is void.
    const rotated = { ...identity, authKey };
    await keepIdentity(identityFile(directory), rotated);
    identity = rotated;
    log.info("Core has given this node another key");
  }

  return {
    hear: (name, events) => ({
      line: events.line,
      stateChanged(state) {
        events.stateChanged(state);
        driving?.heard[name].stateChanged(state);
      },
      exited(exit) {
        events.exited(exit);
        driving?.heard[name].exited(exit);
      },
      restarted(incarnation) {
        events.restarted(incarnation);
        driving?.heard[name].restarted(incarnation);
      },
      vanished(incarnation) {
        events.vanished?.(incarnation);
        driving?.heard[name].vanished?.(incarnation);
      },
      drained(reading) {
        events.drained(reading);
        driving?.heard[name].drained(reading);
      },
    }),
    drive(engines) {
      const { system, registry } = options;
      driving = startDriving({
        ...{ engines, contact, clock, uptime, spool, sessions, carriedBefore, gapsBefore, faultsBefore, rotateKey },
        ...{ directory, version, capabilities, system, registry, log, pace: createPace() },
      });
      beginning = begin();
    },
    async close(endEngines) {
      closing.abort();
      await beginning;
      await (driving === undefined ? endEngines() : driving.close(endEngines));
      await spool.close();
    },
  };
}

/** SHA-256 of the certificate of the Core that the node is enrolled at. */
function authorityOf(identity: CoreIdentity | undefined): string | undefined {
  return identity?.authority && certificateSha256(identity.authority);
}
