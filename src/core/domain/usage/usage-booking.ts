import type {
  ReportOutboundUsageRequest,
  ReportOutboundUsageResponse,
  ReportSessionsRequest,
  ReportSessionsResponse,
  ReportUsageRequest,
  ReportUsageResponse,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";

/**
 * Books what nodes report, each batch once. The key is the header `Idempotency-Key` as it came. Every function throws
 * `SequenceGap`, `BatchMismatch`, `EpochUnknown`, `ReportTooLarge` or `IdempotencyKeyInvalid`, and has booked nothing
 * then. Whatever else it throws, the agent sends the same batch again.
 */
export interface UsageBooking {
  reportUsage(nodeId: number, request: ReportUsageRequest, idempotencyKey?: string): Promise<ReportUsageResponse>;
  reportOutboundUsage(
    nodeId: number,
    request: ReportOutboundUsageRequest,
    idempotencyKey?: string,
  ): Promise<ReportOutboundUsageResponse>;
  reportSessions(
    nodeId: number,
    request: ReportSessionsRequest,
    idempotencyKey?: string,
  ): Promise<ReportSessionsResponse>;
}
