import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { HandlerContext } from "@connectrpc/connect";
import { SubscriptionFormat, SubscriptionLinkService } from "../../../gen/garrison/core/v1/subscription_links_pb.ts";
import { createFailureLimiter } from "../../platform/identity/failure-limiter.ts";
import { acceptsGzip } from "../../platform/rest/accepts-gzip.ts";
import { kReadyBody } from "../../platform/rest/ready-body.ts";
import { kPeer, kProtocol } from "../../platform/rpc/call-context.ts";
import { answerErrors } from "../../platform/rpc/interceptors/answer-errors.ts";
import { type ServedService, serveService } from "../../platform/rpc/served-service.ts";
import { Invalid } from "../domain/fleet/situations.ts";
import { privacyHeaders } from "../domain/subscription-links/document-headers.ts";
import type { AnswerFormat } from "../domain/subscription-links/format-choice.ts";
import {
  type AnsweredSubscription,
  type SubscriptionDocuments,
  SubscriptionLinkUnknown,
} from "../domain/subscription-links/subscription-documents.ts";
import { answerTo, tooManyFailures } from "./errors.ts";

/** Options of {@link createSubscriptionLinkService}. */
export interface SubscriptionLinkServiceOptions {
  documents: SubscriptionDocuments;
  /** Milliseconds that only grow. */
  now: () => number;
}

/**
 * `garrison.core.v1.SubscriptionLinkService`: what the links of subscriptions lead to. The token is the credential, so no
 * other is asked for. Only failures are limited: many users may share an address with somebody who tries tokens.
 */
export function createSubscriptionLinkService({ documents, now }: SubscriptionLinkServiceOptions): ServedService {
  const limiter = createFailureLimiter({ burst: 60, forgiveMs: 10_000, capacity: 10_000, now });
  return serveService(
    SubscriptionLinkService,
    {
      async getSubscriptionDocument({ token, format, nodeProtocolId }, context) {
        const { requestHeader, values } = context;
        setHeaders(context, privacyHeaders);
        const asked = formatOf(format);
        const caller = {
          userAgent: requestHeader.get("user-agent") ?? "",
          accept: requestHeader.get("accept") ?? "",
        };
        const only = nodeProtocolId === undefined ? undefined : Number(nodeProtocolId);
        const answer = await documents.get(token, asked, caller, only).catch((cause: unknown) => {
          const waitMs = cause instanceof SubscriptionLinkUnknown ? limiter.fail(values.get(kPeer).address) : 0;
          throw waitMs === 0 ? cause : tooManyFailures("too many links from this address lead to nothing", waitMs);
        });
        setHeaders(context, answer.headers);
        await compress(answer, context);
        return { ...answer, format: formats.get(answer.format) };
      },
    },
    { interceptors: [answerErrors(answerTo)], isPublic: () => true, validated: false },
  );
}

const formats: ReadonlyMap<AnswerFormat, SubscriptionFormat> = new Map([
  ["links", SubscriptionFormat.LINKS],
  ["plain", SubscriptionFormat.PLAIN],
  ["clash", SubscriptionFormat.CLASH],
  ["sing-box", SubscriptionFormat.SING_BOX],
  ["xray", SubscriptionFormat.XRAY],
  ["page", SubscriptionFormat.PAGE],
  ["wireguard", SubscriptionFormat.WIREGUARD],
]);

function formatOf(asked: SubscriptionFormat): AnswerFormat | undefined {
  if (asked === SubscriptionFormat.UNSPECIFIED) return undefined;
  for (const [format, value] of formats) if (value === asked) return format;
  throw new Invalid("FIELD_INVALID", `format: there is no format ${asked}`);
}

function setHeaders({ responseHeader }: HandlerContext, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) responseHeader.set(name, value);
}

/** A page is mostly its QR codes, which take a third of the bytes then. RPCs are compressed by their own rules. */
async function compress({ format, document }: AnsweredSubscription, context: HandlerContext): Promise<void> {
  const { requestHeader, responseHeader, values } = context;
  if (format !== "page" || values.get(kProtocol) !== "rest") return;
  responseHeader.set("vary", "accept-encoding");
  if (!acceptsGzip(requestHeader)) return;
  responseHeader.set("content-encoding", "gzip");
  values.set(kReadyBody, await promisify(gzip)(document));
}
