import { getOption } from "@bufbuild/protobuf";
import { type VpnProtocol, VpnProtocolSchema } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { value as valueOption } from "../../../../gen/garrison/rest/v1/rest_pb.ts";

/** What a protocol is called in the documented routes, and in the database; undefined where it is not told. */
export function protocolSpelling(protocol: VpnProtocol): string | undefined {
  return spellings.get(protocol);
}

const spellings: ReadonlyMap<VpnProtocol, string> = new Map(
  VpnProtocolSchema.values
    .map((value): [VpnProtocol, string] => [value.number as VpnProtocol, getOption(value, valueOption).spelling])
    .filter(([, spelling]) => spelling !== ""),
);
