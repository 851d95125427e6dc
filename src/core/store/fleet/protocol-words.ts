import { VpnProtocolSchema } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { wordsOf } from "./message-values.ts";

/** What protocols are called in rows. */
export const protocolWords = wordsOf(VpnProtocolSchema);
