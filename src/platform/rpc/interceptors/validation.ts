import { type DescField, type DescMessage, hasOption } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { field, message, oneof } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import type { Interceptor } from "@connectrpc/connect";
import { createValidateInterceptor } from "@connectrpc/validate";

/**
 * Refuses requests that break the rules of the contract with InvalidArgument and the violations as a detail. Requests
 * whose types have no rules pass untouched. Imported only by processes that serve a contract with rules: compiling them
 * takes memory and start time.
 */
export function validation(): Interceptor {
  const validate = createValidateInterceptor({ validator: createValidator() });
  const known = new Map<DescMessage, boolean>();
  const isRuled = (type: DescMessage) => {
    const ruled = known.get(type) ?? hasRules(type, new Set());
    known.set(type, ruled);
    return ruled;
  };
  return (next) => (request) => (isRuled(request.method.input) ? validate(next)(request) : next(request));
}

/** A message of the type, or one that it may hold, can break a rule. */
function hasRules(type: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(type)) return false;
  seen.add(type);
  return (
    hasOption(type, message) ||
    type.oneofs.some((each) => hasOption(each, oneof)) ||
    type.fields.some((each) => hasOption(each, field) || held(each).some((inner) => hasRules(inner, seen)))
  );
}

function held({ message: inner }: DescField): DescMessage[] {
  return inner === undefined ? [] : [inner];
}
