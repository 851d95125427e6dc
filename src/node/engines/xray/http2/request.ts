import { joined } from "../../../../platform/joined.ts";
import { EngineUnreachable } from "../../engine-error.ts";
import type { AnswerFields } from "./header-block.ts";

/** The answer to a request. */
export interface Answer {
  readonly fields: AnswerFields;
  readonly body: Buffer;
}

/** The connection went away before the answer had come. */
export class ConnectionLost extends EngineUnreachable {
  /** The request was not looked at: to send it again does no harm. */
  readonly isUntouched: boolean;

  constructor(message: string, isUntouched = false) {
    super(message);
    this.isUntouched = isUntouched;
  }
}

/** A request on its way, and its stream. */
export class OpenRequest {
  readonly header: Buffer;
  readonly body: Buffer;
  readonly answer: Promise<Answer>;
  /** Its stream, once it has one. */
  id = 0;
  /** How much of the body has left. */
  sentBytes = 0;
  /** How much more of it the other end takes. */
  window = 0;
  readonly #timer: NodeJS.Timeout;
  readonly #end = Promise.withResolvers<Answer>();
  readonly #parts: Buffer[] = [];
  #fields: AnswerFields = {};

  constructor(header: Buffer, body: Buffer, timeoutMs: number, onTimeout: (request: OpenRequest) => void) {
    this.header = header;
    this.body = body;
    this.answer = this.#end.promise;
    this.#timer = setTimeout(() => {
      this.fail(new EngineUnreachable(`xray did not answer within ${timeoutMs} ms`));
      onTimeout(this);
    }, timeoutMs);
  }

  /** The whole body has left. */
  get isSent(): boolean {
    return this.sentBytes === this.body.length;
  }

  addFields(fields: AnswerFields): void {
    this.#fields = { ...this.#fields, ...fields };
  }

  addContent(content: Buffer): void {
    this.#parts.push(content);
  }

  /** The answer is whole. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#end.resolve({ fields: this.#fields, body: joined(this.#parts) });
  }

  fail(error: EngineUnreachable): void {
    clearTimeout(this.#timer);
    this.#end.reject(error);
  }
}
