import { createValidator } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { createValidateInterceptor } from "@connectrpc/validate";

/**
 * Refuses requests that break the rules of the contract with InvalidArgument and the violations as a detail. Imported
 * only by processes that serve a contract with rules: compiling them takes memory and start time.
 */
export function validation(): Interceptor {
  return createValidateInterceptor({ validator: createValidator() });
}
