import type { DescService } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { answerErrors } from "../../../platform/rpc/interceptors/answer-errors.ts";
import { type ServedService, serveService } from "../../../platform/rpc/served-service.ts";
import type { Operator } from "../../domain/operator-keys.ts";
import { answerTo } from "../errors.ts";
import { kOperator } from "../gate.ts";
import { refuseZeroCharacters } from "../refuse-zero-characters.ts";

/** Serves a service for operators, whose errors are told as the contract says. The gate asks for the scopes. */
export function serveFleet<S extends DescService>(desc: S, implementation: ServiceImpl<S>): ServedService {
  return serveService(desc, implementation, { interceptors: [answerErrors(answerTo), refuseZeroCharacters] });
}

/** Who calls. */
export function operatorOf(context: HandlerContext): Operator {
  return context.values.get(kOperator);
}
