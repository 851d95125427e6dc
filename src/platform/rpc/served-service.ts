import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type ConnectError,
  createServiceImplSpec,
  type Interceptor,
  type MethodImplSpec,
  type ServiceImpl,
} from "@connectrpc/connect";

/**
 * A service of the contract with its implementation: the one thing that the Connect router, the short path and the REST
 * adapter all mount. They call the same implementation objects through the same interceptors.
 */
export interface ServedService {
  readonly desc: DescService;
  /** The implementation by method, Unimplemented where it has none. */
  readonly methods: readonly MethodImplSpec[];
  /** Interceptors of this service alone, inside those of the server. */
  readonly interceptors: readonly Interceptor[];
  /** Requests are checked against the rules of the contract. */
  readonly validated: boolean;
  /** A method that answers without a credential. */
  readonly isPublic: (method: DescMethod) => boolean;
  /** What REST tells those whose body is too large, as a detail of the error. Undefined: nothing more. */
  readonly accepted: ErrorDetail | undefined;
}

/** A message that comes along with an error. */
type ErrorDetail = Extract<ConnectError["details"][number], { desc: unknown }>;

/** Options of {@link serveService}. */
export interface ServeOptions {
  /** Interceptors of this service alone, inside those of the server. Default: none. */
  interceptors?: readonly Interceptor[];
  /** Requests are checked against the rules of the contract. Off only for a contract without rules. Default: true. */
  validated?: boolean;
  /** Methods that answer without a credential. Default: none. */
  isPublic?: (method: DescMethod) => boolean;
  /** What REST tells those whose body is too large. Default: nothing more. */
  accepted?: ErrorDetail;
}

/** Pairs a service of the contract with its implementation. Methods without one answer Unimplemented. */
export function serveService<S extends DescService>(
  desc: S,
  implementation: Partial<ServiceImpl<S>>,
  options: ServeOptions = {},
): ServedService {
  return {
    desc,
    methods: Object.values(createServiceImplSpec(desc, implementation).methods),
    interceptors: options.interceptors ?? [],
    validated: options.validated ?? true,
    isPublic: options.isPublic ?? (() => false),
    accepted: options.accepted,
  };
}
