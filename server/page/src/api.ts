/** The server: the contract's own client, spoken by Connect to where the page came from. */

import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { signal } from "@preact/signals";

import { BatchService, type GetServerInfoResponse, type Operation } from "./contract/imagebatch/v1/batch_service_pb";
import { ImageService } from "./contract/imagebatch/v1/image_service_pb";
import { refusal, tenant, token } from "./session";

/** Where the page and all that it calls are, without a slash at the end. */
export const ROOT = new URL(".", document.baseURI).href.replace(/\/$/, "");

const BASE_URL = document.querySelector<HTMLMetaElement>("meta[name=imagebatch-base-url]")?.content ?? ROOT;

/** What tells the server who calls. */
export function identity(): Readonly<Record<string, string>> {
  return {
    ...(token.value !== "" && { authorization: `Bearer ${token.value}` }),
    ...(tenant.value !== "" && { "imagebatch-tenant": tenant.value }),
  };
}

const identify: Interceptor = (next) => async (request) => {
  const shown = token.value;
  for (const [name, value] of Object.entries(identity())) request.header.set(name, value);
  try {
    return await next(request);
  } catch (error) {
    // An answer to a token that has been replaced meanwhile says nothing of the new one.
    if (ConnectError.from(error).code === Code.Unauthenticated && shown === token.value) {
      refusal.value = shown === "" ? "" : ConnectError.from(error).rawMessage;
    }
    throw error;
  }
};

const transport = createConnectTransport({ baseUrl: ROOT, useBinaryFormat: true, interceptors: [identify] });

export const batches = createClient(BatchService, transport);
export const images = createClient(ImageService, transport);

/** What the server is and can; undefined until it has answered. */
export const serverInfo = signal<GetServerInfoResponse | undefined>(undefined);

/** What can be done with images; empty until the server has answered. */
export const operations = signal<readonly Operation[]>([]);

export async function getToKnow(signal: AbortSignal): Promise<void> {
  const [info, offered] = await Promise.all([
    batches.getServerInfo({}, { signal }),
    batches.listOperations({}, { signal }),
  ]);
  serverInfo.value = info;
  operations.value = offered.operations;
}

export function has(feature: string): boolean {
  return serverInfo.value?.features.includes(feature) ?? false;
}

/** A signed URL by the name that the page was opened by, which may be another than the server has for itself. */
export function here(url: string | undefined): string | undefined {
  return url?.startsWith(`${BASE_URL}/`) ? ROOT + url.slice(BASE_URL.length) : undefined;
}

/** What went wrong, and what to do about it, in a sentence or two. */
export function explained(error: unknown): string {
  if (error instanceof ConnectError) {
    if (
      error.code === Code.Unknown ||
      (error.code === Code.Unavailable && error.metadata.get("content-type") === null)
    ) {
      return "The server can’t be reached. This page keeps trying; see whether imagebatch still runs, and the network.";
    }
    const message = error.rawMessage;
    return message === "" ? `The server answered ${Code[error.code]}.` : message;
  }
  return error instanceof Error ? error.message : String(error);
}

/** Whether asking again would be answered the same. */
export function isFinal(error: unknown): boolean {
  const code = ConnectError.from(error).code;
  return [
    Code.NotFound, Code.InvalidArgument, Code.PermissionDenied, Code.Unauthenticated, Code.Unimplemented, Code.OutOfRange,
  ].includes(code); // prettier-ignore
}
