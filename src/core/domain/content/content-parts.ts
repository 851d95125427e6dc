import type { XrayServiceConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { readXray } from "./config-message.ts";
import { byTag, type InboundParts } from "./inbound.ts";
import { elementsOf, membersOf } from "./json-spans.ts";

/**
 * The content of a config, taken apart as far as differences need it. Most of what a difference costs is this, and each
 * content is in two: the way to it, and the way from it.
 */
export class ContentParts {
  readonly content: string;
  readonly xray: XrayParts | undefined;
  /** The other members, as texts. */
  readonly mtproto: string | undefined;
  readonly wireguard: string | undefined;
  readonly links: string;
  readonly mtprotoLinks: string;
  readonly terms: string;

  constructor(content: string) {
    const members = membersOf(content);
    const services = membersOf(members.get("services") ?? "{}");
    const xray = services.get("xray");
    this.content = content;
    this.xray = xray === undefined ? undefined : new XrayParts(xray);
    this.mtproto = services.get("mtproto");
    this.wireguard = services.get("wireguard");
    this.links = members.get("clientMap") ?? "{}";
    this.mtprotoLinks = members.get("mtprotoClientMap") ?? "{}";
    this.terms = members.get("subscriptionTerms") ?? "{}";
  }
}

/** `services.xray`, taken apart when it is first asked for. */
export class XrayParts {
  readonly text: string;
  #message: XrayServiceConfig | undefined;
  #inbounds: ReadonlyMap<string, InboundParts> | undefined;

  constructor(text: string) {
    this.text = text;
  }

  get message(): XrayServiceConfig {
    this.#message ??= readXray(this.text);
    return this.#message;
  }

  /** By their tags, in their order. */
  get inbounds(): ReadonlyMap<string, InboundParts> {
    this.#inbounds ??= byTag(elementsOf(this.message.inbounds));
    return this.#inbounds;
  }
}
