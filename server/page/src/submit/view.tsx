/** A new batch: which images, and what to do with them. */

import type { JsonObject } from "@bufbuild/protobuf";
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { batches, explained, operations, serverInfo } from "../api";
import { bytes, count } from "../format";
import { requestId } from "../ids";
import { go, link } from "../route";
import { useTitle } from "../ui/hooks";
import { Trouble } from "../ui/parts";
import { Choose } from "./choose";
import { Parameters } from "./parameters";
import { uploadAll } from "./uploads";

export function SubmitView(): JSX.Element {
  useTitle("New batch");
  const [files, setFiles] = useState<readonly File[]>([]);
  const [urls, setUrls] = useState("");
  const [name, setName] = useState("");
  const [parameters, setParameters] = useState<JsonObject>({});
  const [priority, setPriority] = useState(5);
  const [labels, setLabels] = useState("");
  const [skipDuplicates, setSkipDuplicates] = useState(false);
  const [uploaded, setUploaded] = useState<number>();
  const [trouble, setTrouble] = useState<string>();
  const stopping = useRef<AbortController>();
  const id = useRef<string>();
  useEffect(() => () => stopping.current?.abort(), []);
  // The same submit, tried again, is the same batch; a changed one is another.
  useEffect(() => void (id.current = undefined), [files, urls, name, parameters, priority, labels, skipDuplicates]);

  const offered = operations.value;
  const operation =
    offered.find((each) => each.name === name) ?? offered.find((each) => each.name === "describe") ?? offered[0];
  const listed = urls.split("\n").map((url) => url.trim()).filter((url) => url !== ""); // prettier-ignore
  const total = files.length + listed.length;
  const most = serverInfo.value?.limits?.maxItemsPerSubmit ?? 10_000;
  const largest = Number(serverInfo.value?.limits?.maxImageBytes ?? 0);
  const isBusy = uploaded !== undefined;

  const submit = async (event: Event) => {
    event.preventDefault();
    const tooLarge = files.find((file) => largest > 0 && file.size > largest);
    if (operation === undefined || total === 0) return;
    if (total > most)
      return setTrouble(
        `${count(total)} images are more than the ${count(most)} of one submit; use imagebatch submit.`,
      );
    if (tooLarge)
      return setTrouble(
        `${tooLarge.name} has ${bytes(tooLarge.size)}; this server takes ${bytes(largest)} at the most.`,
      );
    stopping.current = new AbortController();
    setTrouble(undefined);
    setUploaded(0);
    try {
      const { signal } = stopping.current;
      const keys = await uploadAll(files, setUploaded, signal);
      id.current ??= requestId();
      const submitted = await batches.submitBatch(
        {
          options: {
            operation: operation.name,
            parameters,
            priority,
            labels: labelled(labels),
            skipDuplicates,
            requestId: id.current,
          },
          items: [
            ...keys.map((objectKey, at) => ({ objectKey, metadata: { file_name: files[at]!.name } })),
            ...listed.map((imageUrl) => ({ imageUrl })),
          ],
        },
        { signal },
      );
      go(link(["batches", submitted.batchId]));
    } catch (error) {
      if (!stopping.current.signal.aborted) setTrouble(explained(error));
    } finally {
      setUploaded(undefined);
    }
  };

  return (
    <form class="submit" onSubmit={submit}>
      <header class="title">
        <h1>New batch</h1>
      </header>
      <Choose files={files} onFiles={setFiles} urls={urls} onUrls={setUrls} />
      <fieldset class="panel" disabled={isBusy}>
        <legend>What to do</legend>
        <div class="choices" role="radiogroup" aria-label="Operation">
          {offered.map((each) => (
            <label class="choice" key={each.name}>
              <input
                type="radio"
                name="operation"
                checked={each === operation}
                onChange={() => (setName(each.name), setParameters({}))}
              />
              <span>
                <b>{each.name}</b>
                <small>{each.description}</small>
              </span>
            </label>
          ))}
        </div>
        <details>
          <summary>Parameters</summary>
          <Parameters schema={operation?.parametersSchema} values={parameters} onChange={setParameters} />
        </details>
        <details>
          <summary>Priority and labels</summary>
          <div class="parameters">
            <label>
              <span>Priority</span>
              <input
                type="number"
                min="1"
                max="10"
                value={priority}
                onInput={(event) => setPriority(event.currentTarget.valueAsNumber || 5)}
              />
              <small class="hint">1 (lowest) to 10: the share of the workers’ time while other batches run too.</small>
            </label>
            <label>
              <span>Labels</span>
              <input
                placeholder="team=vision, run=7"
                value={labels}
                onInput={(event) => setLabels(event.currentTarget.value)}
              />
              <small class="hint">By which the batch can be found again.</small>
            </label>
            <label class="check">
              <input
                type="checkbox"
                checked={skipDuplicates}
                onChange={(event) => setSkipDuplicates(event.currentTarget.checked)}
              />
              <span>Run images that are the same only once</span>
            </label>
          </div>
        </details>
      </fieldset>
      <Trouble>{trouble}</Trouble>
      <footer class="send">
        <button type="submit" class="button primary solid" disabled={isBusy || total === 0}>
          {total === 0 ? "Choose images first" : `Submit ${total === 1 ? "1 image" : `${count(total)} images`}`}
        </button>
        {isBusy && (
          <>
            <progress value={uploaded} max={Math.max(1, files.length)} aria-label="Uploaded" />
            <span role="status">
              {uploaded < files.length ? `${count(uploaded)} of ${count(files.length)} uploaded` : "Submitting …"}
            </span>
            <button type="button" class="button quiet" onClick={() => stopping.current?.abort()}>
              Stop
            </button>
          </>
        )}
      </footer>
    </form>
  );
}

/** Read labels such as `team=vision, run=7`. */
function labelled(written: string): Record<string, string> {
  const pairs = written.split(",").map((pair) => pair.trim()).filter((pair) => pair !== ""); // prettier-ignore
  return Object.fromEntries(
    pairs.map((pair) => {
      const [name = "", ...value] = pair.split("=");
      return [name.trim(), value.join("=").trim()];
    }),
  );
}
