/** What a tenant has used, by day and operation; operators choose the tenant. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

import { batches, explained } from "./api";
import type { DailyUsage } from "./contract/imagebatch/v1/batch_service_pb";
import { bytes, compact, count, day, duration } from "./format";
import { actFor, tenant } from "./session";
import { useTitle } from "./ui/hooks";
import { Empty, Trouble } from "./ui/parts";

export function UsageView(): JSX.Element {
  useTitle("Usage");
  const [usage, setUsage] = useState<readonly DailyUsage[]>();
  const [trouble, setTrouble] = useState<string>();
  useEffect(() => {
    const stopping = new AbortController();
    batches
      .getUsage({}, { signal: stopping.signal })
      .then((answer) => (setUsage(answer.usage), setTrouble(undefined)))
      .catch((error: unknown) => stopping.signal.aborted || setTrouble(explained(error)));
    return () => stopping.abort();
  }, []);
  return (
    <>
      <header class="title">
        <div>
          <h1>Usage</h1>
          <p class="about">The last 30 days, by UTC; batches that were deleted are in it.</p>
        </div>
        <ChooseTenant />
      </header>
      <Trouble>{trouble}</Trouble>
      {usage !== undefined && usage.length === 0 && (
        <Empty icon="layers" title="Nothing was used">
          <p>Each item that succeeds or fails is counted here.</p>
        </Empty>
      )}
      {usage !== undefined && usage.length > 0 && <Table usage={usage} />}
    </>
  );
}

function ChooseTenant(): JSX.Element {
  const [name, setName] = useState(tenant.value);
  const onSubmit = (event: Event) => {
    event.preventDefault();
    actFor(name.trim());
  };
  return (
    <form class="choose" onSubmit={onSubmit}>
      <label>
        <span class="visually-hidden">Tenant, for operators</span>
        <input
          placeholder="Tenant (operators)"
          value={name}
          pattern="[a-z0-9][a-z0-9_-]{0,62}"
          title="1 to 63 characters of a-z 0-9 _ -"
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="button">
        Act for
      </button>
    </form>
  );
}

function Table({ usage }: { readonly usage: readonly DailyUsage[] }): JSX.Element {
  const most = Math.max(...usage.map((each) => Number(each.items)));
  const sum = (of: (each: DailyUsage) => bigint) => usage.reduce((total, each) => total + of(each), 0n);
  const hasTokens = sum((each) => each.inputTokens + each.outputTokens) > 0n;
  return (
    <div class="panel wide">
      <table class="usage">
        <thead>
          <tr>
            <th scope="col">Day</th>
            <th scope="col">Operation</th>
            <th scope="col" colSpan={2}>
              Items
            </th>
            <th scope="col" class="number">
              Time
            </th>
            <th scope="col" class="number">
              Images
            </th>
            {hasTokens && (
              <th scope="col" class="number">
                Tokens read
              </th>
            )}
            {hasTokens && (
              <th scope="col" class="number">
                written
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {[...usage].reverse().map((each) => (
            <tr key={`${each.day} ${each.operation}`}>
              <td>{day(each.day)}</td>
              <td>{each.operation}</td>
              <td class="number">{count(each.items)}</td>
              <td class="drawn" aria-hidden="true">
                <i style={{ width: `${(100 * Number(each.items)) / most}%` }} />
              </td>
              <td class="number">{duration(Number(each.processingTimeMs))}</td>
              <td class="number">{bytes(each.imageBytes)}</td>
              {hasTokens && <td class="number">{compact(each.inputTokens)}</td>}
              {hasTokens && <td class="number">{compact(each.outputTokens)}</td>}
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row" colSpan={2}>
              Together
            </th>
            <td class="number">{count(sum((each) => each.items))}</td>
            <td />
            <td class="number">{duration(Number(sum((each) => each.processingTimeMs)))}</td>
            <td class="number">{bytes(sum((each) => each.imageBytes))}</td>
            {hasTokens && <td class="number">{compact(sum((each) => each.inputTokens))}</td>}
            {hasTokens && <td class="number">{compact(sum((each) => each.outputTokens))}</td>}
          </tr>
        </tfoot>
      </table>
    </div>
  );
}
