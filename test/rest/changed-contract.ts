import {
  clone,
  create,
  createFileRegistry,
  type DescFile,
  type FileRegistry,
  getExtension,
  type Message,
  setExtension,
} from "@bufbuild/protobuf";
import {
  EnumValueOptionsSchema,
  FieldOptionsSchema,
  FileDescriptorSetSchema,
  MethodOptionsSchema,
  ServiceOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import {
  type Api,
  api,
  type Binding,
  binding,
  type EnumValueRule,
  type FieldRule,
  field,
  value,
} from "../../gen/garrison/rest/v1/rest_pb.ts";
import { file_garrison_resttest_v1_pipe_service } from "./gen/garrison/resttest/v1/pipe_service_pb.ts";
import { file_garrison_resttest_v1_shelf_service } from "./gen/garrison/resttest/v1/shelf_service_pb.ts";

/** Changes what the test-only contract says. Names are without the package. */
export interface Change {
  api(service: string, patch: Partial<Api>): void;
  /** The bindings of `Service.Method`, to be changed in place; returns those to keep. */
  bindings(method: string, edit: (bindings: Binding[]) => Binding[]): void;
  field(name: string, patch: Partial<FieldRule>): void;
  value(name: string, patch: Partial<EnumValueRule>): void;
}

/** The test-only contract with some changes, as a contract of its own. */
export function changedContract(change: (contract: Change) => void = () => undefined): FileRegistry {
  const files = withImports([file_garrison_resttest_v1_shelf_service, file_garrison_resttest_v1_pipe_service]);
  const set = clone(
    FileDescriptorSetSchema,
    create(FileDescriptorSetSchema, { file: files.map(({ proto }) => proto) }),
  );
  const ours = set.file.filter(({ package: name }) => name === "garrison.resttest.v1");
  const found = <T>(what: string, item: T | undefined): T => {
    if (item === undefined) throw new Error(`the test-only contract has no ${what}`);
    return item;
  };
  const serviceOf = (name: string) =>
    found(
      name,
      ours.flatMap(({ service }) => service).find((service) => service.name === name),
    );
  change({
    api(name, patch) {
      const service = serviceOf(name);
      service.options ??= create(ServiceOptionsSchema);
      setExtension(service.options, api, patched(getExtension(service.options, api), patch));
    },
    bindings(name, edit) {
      const [service = "", rpc] = name.split(".");
      const method = found(
        name,
        serviceOf(service).method.find((candidate) => candidate.name === rpc),
      );
      method.options ??= create(MethodOptionsSchema);
      setExtension(method.options, binding, edit(getExtension(method.options, binding)));
    },
    field(name, patch) {
      const [message = "", local] = name.split(".");
      const desc = found(
        message,
        ours.flatMap(({ messageType }) => messageType).find((type) => type.name === message),
      );
      const target = found(
        name,
        desc.field.find((candidate) => candidate.name === local),
      );
      target.options ??= create(FieldOptionsSchema);
      setExtension(target.options, field, patched(getExtension(target.options, field), patch));
    },
    value(name, patch) {
      const [type = "", local] = name.split(".");
      const desc = found(
        type,
        ours.flatMap(({ enumType }) => enumType).find((candidate) => candidate.name === type),
      );
      const target = found(
        name,
        desc.value.find((candidate) => candidate.name === local),
      );
      target.options ??= create(EnumValueOptionsSchema);
      setExtension(target.options, value, patched(getExtension(target.options, value), patch));
    },
  });
  return createFileRegistry(set);
}

function patched<T extends Message>(message: T, patch: Partial<T>): T {
  return Object.assign(message, patch);
}

function withImports(files: readonly DescFile[], seen = new Set<DescFile>()): DescFile[] {
  for (const file of files) {
    if (seen.has(file)) continue;
    withImports(file.dependencies, seen);
    seen.add(file);
  }
  return [...seen];
}
