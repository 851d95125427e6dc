import { type JsonObject, objectIn } from "./json-object.ts";
import { Invalid } from "./situations.ts";

/** Checks an outbound of Xray, without its tag. Throws {@link Invalid} with CONFIG_INVALID. */
export function checkOutbound(config: JsonObject): void {
  const refuse = (place: string, reason: string) => {
    throw new Invalid("CONFIG_INVALID", `config: ${place}: ${reason}`);
  };
  if (typeof config.protocol !== "string" || config.protocol === "") {
    refuse("protocol", "is missing: such as freedom, blackhole, or vless");
  }
  if (config.tag !== undefined) refuse("tag", "stands beside the config, not in it");
  for (const name of ["settings", "streamSettings", "proxySettings", "mux"]) {
    if (config[name] !== undefined && objectIn(config[name]) === undefined) refuse(name, "is no JSON object");
  }
}
