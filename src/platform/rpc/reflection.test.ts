import { createRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { ApiSchema } from "../../../gen/garrison/rest/v1/rest_pb.ts";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { type ServerReflectionRequest, ServerReflection as V1 } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as V1Alpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { serveReflection } from "./reflection.ts";

const services = serveReflection([Health]);
const transport = createRouterTransport((router) => {
  for (const { methods } of services) for (const { method, impl } of methods) router.rpc(method, impl);
});

type Question = Exclude<ServerReflectionRequest["messageRequest"], { case: undefined }>;

async function ask(messageRequest: Question | { case: undefined; value?: undefined }) {
  const requests = (async function* () {
    yield { host: "here", messageRequest };
  })();
  const answers = await Array.fromAsync(createClient(V1, transport).serverReflectionInfo(requests));
  expect(answers).toHaveLength(1);
  expect(answers[0]).toMatchObject({ validHost: "here", originalRequest: { host: "here" } });
  return answers[0]?.messageResponse;
}

function fileNames(answer: Awaited<ReturnType<typeof ask>>): string[] {
  if (answer?.case !== "fileDescriptorResponse") throw new Error(`no files: ${answer?.case}`);
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name);
}

describe("server reflection", () => {
  test("lists the services, itself included", async () => {
    const answer = await ask({ case: "listServices", value: "*" });
    expect(answer?.value).toMatchObject({
      service: [
        { name: "grpc.health.v1.Health" },
        { name: "grpc.reflection.v1.ServerReflection" },
        { name: "grpc.reflection.v1alpha.ServerReflection" },
      ],
    });
  });

  test.each([
    "grpc.health.v1.Health",
    "grpc.health.v1.Health.Check",
    "grpc.health.v1.HealthCheckRequest",
    "grpc.health.v1.HealthCheckRequest.service",
    "grpc.health.v1.HealthCheckResponse.ServingStatus",
  ])("finds the file of %s", async (value) => {
    expect(fileNames(await ask({ case: "fileContainingSymbol", value }))).toEqual(["grpc/health/v1/health.proto"]);
  });

  test("finds a file by its name, with what it imports", async () => {
    const withOptions = serveReflection([{ ...Health, file: ApiSchema.file }]);
    expect(withOptions).toHaveLength(2);
    expect(fileNames(await ask({ case: "fileByFilename", value: "grpc/health/v1/health.proto" }))).toHaveLength(1);
  });

  test.each<[string, Question]>([
    ["symbol", { case: "fileContainingSymbol", value: "grpc.health.v2.Health" }],
    ["file", { case: "fileByFilename", value: "nowhere.proto" }],
    ["type", { case: "allExtensionNumbersOfType", value: "nowhere.Type" }],
  ])("answers NotFound for an unknown %s", async (_kind, question) => {
    expect((await ask(question))?.value).toMatchObject({ errorCode: Code.NotFound });
  });

  test("answers InvalidArgument when nothing is asked", async () => {
    expect((await ask({ case: undefined }))?.value).toMatchObject({ errorCode: Code.InvalidArgument });
  });

  test("v1alpha answers the same", async () => {
    const requests = (async function* () {
      yield { messageRequest: { case: "fileContainingSymbol", value: "grpc.health.v1.Health" } as const };
    })();
    const [answer] = await Array.fromAsync(createClient(V1Alpha, transport).serverReflectionInfo(requests));
    expect(answer?.messageResponse.case).toBe("fileDescriptorResponse");
    expect(createRegistry(Health).getService("grpc.health.v1.Health")).toBe(Health);
  });
});
