/** A batch's results as a file, written as it comes: the server makes what `imagebatch export` makes. */

import { identity, ROOT } from "../api";

export interface Form {
  readonly name: string;
  readonly about: string;
  readonly suffix: string;
}

export const FORMS: readonly Form[] = [
  { name: "CSV", about: "For spreadsheets, which execute nothing of it", suffix: "csv" },
  { name: "JSON Lines", about: "Everything of each item, one a line", suffix: "jsonl" },
];

interface CanAsk {
  showSaveFilePicker(options: { suggestedName: string }): Promise<{ createWritable(): Promise<WritableStream> }>;
}

/** Write all items to a file that the user names, or to the downloads where the browser can't ask. */
export async function save(batchId: string, form: Form, onWritten: (bytes: number) => void): Promise<void> {
  try {
    await write(batchId, form, onWritten);
  } catch (error) {
    // By this class `fetch` tells of a connection that was not there, or ended.
    if (!(error instanceof TypeError)) throw error;
    throw new Error(
      "The connection ended before the file did, and nothing was kept. Try again, or use the command below.",
    );
  }
}

async function write(batchId: string, { suffix }: Form, onWritten: (bytes: number) => void): Promise<void> {
  const name = `batch-${batchId}.${suffix}`;
  if ("showSaveFilePicker" in window) {
    const file = await (window as unknown as CanAsk).showSaveFilePicker({ suggestedName: name });
    const body = await begun(batchId, suffix);
    await body.pipeThrough(counting(onWritten)).pipeTo(await file.createWritable());
  } else {
    // Browsers keep what is large in a file of their own until it is saved.
    const body = await begun(batchId, suffix);
    download(await new Response(body.pipeThrough(counting(onWritten))).blob(), name);
  }
}

async function begun(batchId: string, suffix: string): Promise<ReadableStream<Uint8Array>> {
  const answer = await fetch(`${ROOT}/exports/${batchId}.${suffix}`, { headers: identity() });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.body!;
}

function counting(onWritten: (bytes: number) => void): TransformStream<Uint8Array, Uint8Array> {
  let written = 0;
  return new TransformStream({
    transform(chunk, controller) {
      written += chunk.byteLength;
      onWritten(written);
      controller.enqueue(chunk);
    },
  });
}

function download(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
