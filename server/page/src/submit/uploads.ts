/** Files sent to the server, a few at a time, each to a URL of its own. */

import { here, images } from "../api";

const AT_ONCE = 4; // of the six connections that a browser opens to a host
const ATTEMPTS = 3;

/** What was uploaded already, so that a repeated submit sends nothing twice. */
const KEYS = new WeakMap<File, string>();

export class UploadFailed extends Error {}

/** Upload all files and answer their object keys, in their order. Raises UploadFailed, ConnectError. */
export async function uploadAll(
  files: readonly File[],
  onUploaded: (files: number) => void,
  signal: AbortSignal,
): Promise<string[]> {
  const keys = new Array<string>(files.length);
  let next = 0;
  let done = 0;
  const work = async () => {
    while (next < files.length && !signal.aborted) {
      const at = next++;
      const file = files[at]!;
      keys[at] = KEYS.get(file) ?? (await upload(file, signal));
      KEYS.set(file, keys[at]);
      onUploaded(++done);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, files.length) }, work));
  signal.throwIfAborted();
  return keys;
}

async function upload(file: File, signal: AbortSignal): Promise<string> {
  let trouble = "";
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const place = await images.createUploadUrl(
      { contentType: file.type, fileName: file.name.slice(0, 255), sizeBytes: BigInt(file.size) },
      { signal },
    );
    try {
      const answer = await fetch(here(place.url) ?? place.url, {
        method: "PUT",
        headers: place.headers,
        body: file,
        signal,
        credentials: "omit",
      });
      if (answer.ok) return place.objectKey;
      trouble = await answer.text();
      if (answer.status < 500 && answer.status !== 408 && answer.status !== 429) break;
    } catch (error) {
      signal.throwIfAborted();
      trouble = error instanceof Error ? error.message : String(error);
    }
  }
  throw new UploadFailed(`${file.name} could not be uploaded: ${trouble.trim()}`);
}
