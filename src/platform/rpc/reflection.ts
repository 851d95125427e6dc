import { createRegistry, type DescFile, type DescService, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { type ServerReflectionRequest, ServerReflection as V1 } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as V1Alpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type ServedService, serveService } from "./served-service.ts";

/** What is asked; the same in both versions but for the types' names. */
type Question =
  | Exclude<ServerReflectionRequest["messageRequest"], { case: "fileContainingExtension" }>
  | { case: "fileContainingExtension"; value: { containingType: string; extensionNumber: number } };
/** What is answered; the same in both versions. */
type Answer =
  | { case: "listServicesResponse"; value: { service: { name: string }[] } }
  | { case: "fileDescriptorResponse"; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: "allExtensionNumbersResponse"; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: "errorResponse"; value: { errorCode: number; errorMessage: string } };

/**
 * Server reflection, v1 and v1alpha, over the given services and itself: `buf curl` and grpcurl need no schema at hand.
 * A file is answered with all that it imports, so that a client needs one round trip.
 */
export function serveReflection(services: readonly DescService[]): ServedService[] {
  const answer = createReflector([...services, V1, V1Alpha]);
  async function* reflect<R extends { host: string; messageRequest: Question }>(requests: AsyncIterable<R>) {
    for await (const request of requests) {
      yield { validHost: request.host, originalRequest: request, messageResponse: answer(request.messageRequest) };
    }
  }
  return [
    serveService(V1, { serverReflectionInfo: (requests) => reflect(requests) }, { validated: false }),
    serveService(V1Alpha, { serverReflectionInfo: (requests) => reflect(requests) }, { validated: false }),
  ];
}

function createReflector(services: readonly DescService[]): (question: Question) => Answer {
  const files = new Map<string, DescFile>();
  for (const service of services) collect(service.file, files);
  const registry = createRegistry(...files.values());

  // A method, field or enum value is found by what encloses it.
  const fileOf = (symbol: string): DescFile | undefined =>
    registry.get(symbol)?.file ?? (symbol.includes(".") ? fileOf(symbol.slice(0, symbol.lastIndexOf("."))) : undefined);

  return (question) => {
    switch (question.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: services.map((service) => ({ name: service.typeName })) },
        };
      case "fileByFilename":
        return fileAnswer(files.get(question.value), question.value);
      case "fileContainingSymbol":
        return fileAnswer(fileOf(question.value), question.value);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = question.value;
        const type = registry.getMessage(containingType);
        const extension = type && registry.getExtensionFor(type, extensionNumber);
        return fileAnswer(extension?.file, `extension ${extensionNumber} of ${containingType}`);
      }
      case "allExtensionNumbersOfType": {
        if (registry.getMessage(question.value) === undefined) return errorAnswer(Code.NotFound, question.value);
        const extensionNumber: number[] = [];
        for (const type of registry) {
          if (type.kind === "extension" && type.extendee.typeName === question.value) extensionNumber.push(type.number);
        }
        return { case: "allExtensionNumbersResponse", value: { baseTypeName: question.value, extensionNumber } };
      }
      default:
        return errorAnswer(Code.InvalidArgument, "a message_request");
    }
  };
}

function collect(file: DescFile, files: Map<string, DescFile>): void {
  if (files.has(file.proto.name)) return;
  files.set(file.proto.name, file);
  for (const dependency of file.dependencies) collect(dependency, files);
}

function fileAnswer(file: DescFile | undefined, asked: string): Answer {
  if (file === undefined) return errorAnswer(Code.NotFound, asked);
  const closure = new Map<string, DescFile>();
  collect(file, closure);
  const fileDescriptorProto = [...closure.values()].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function errorAnswer(errorCode: Code, asked: string): Answer {
  const errorMessage = errorCode === Code.NotFound ? `not found: ${asked}` : `missing: ${asked}`;
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
