/** How far a batch is: the bar, the speed, what is left, and what it took. */

import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { serverInfo } from "../api";
import type { BatchStatusResult } from "../contract/imagebatch/v1/types_pb";
import { text } from "../items";
import { compact, count, duration, items, milliseconds, moment, percent, rate } from "../format";
import { useNow } from "../ui/hooks";
import { ProgressBar } from "../ui/parts";
import { Asked } from "./asked";
import { Notified } from "./notified";
import { isTerminal } from "./status";

interface Props {
  readonly batch: BatchStatusResult;
  readonly perSecond: number;
}

export function Head({ batch, perSecond }: Props): JSX.Element {
  const now = useNow();
  const begun = milliseconds(batch.startedAt ?? batch.createdAt!);
  const took = (batch.completedAt === undefined ? now : milliseconds(batch.completedAt)) - begun;
  const tokens = batch.inputTokens + batch.outputTokens;
  const cost = costOf(batch);
  return (
    <section class="panel head" aria-label="Progress">
      <div class="lead">
        <strong class="share">{percent(batch.totalItems === 0 ? 0 : batch.processedItems / batch.totalItems)}</strong>
        <span class="said">
          {count(batch.processedItems)} of {items(batch.totalItems)} done
          <Speed batch={batch} perSecond={perSecond} now={now} />
        </span>
      </div>
      <ProgressBar batch={batch} />
      <dl class="figures">
        <Figure name="Succeeded" tone="success">
          {count(batch.successfulItems)}
        </Figure>
        <Figure name="Failed" tone={batch.failedItems > 0 ? "failed" : undefined}>
          {count(batch.failedItems)}
        </Figure>
        {batch.skippedItems > 0 && (
          <Figure name="Skipped" tone="skipped">
            {count(batch.skippedItems)}
          </Figure>
        )}
        {!isTerminal(batch) && <Figure name="Waiting">{count(batch.totalItems - batch.processedItems)}</Figure>}
        <Figure name={batch.completedAt === undefined ? "Running for" : "Took"} title={begunAt(batch)}>
          {batch.startedAt === undefined && batch.completedAt === undefined ? "–" : duration(took)}
        </Figure>
        {batch.avgProcessingTimeMs !== undefined && (
          <Figure name="Each item">{duration(Number(batch.avgProcessingTimeMs))}</Figure>
        )}
        {tokens > 0n && (
          <Figure name="Tokens" title={`${count(batch.inputTokens)} read, ${count(batch.outputTokens)} written`}>
            {compact(tokens)}
          </Figure>
        )}
        {tokens > 0n && cost !== undefined && <Figure name="Cost">{cost}</Figure>}
      </dl>
      {isTerminal(batch) && <Notified notification={batch.notification} />}
      <Asked batch={batch} />
      <Spoken batch={batch} />
    </section>
  );
}

/** What the batch's tokens cost, where the operator has said what tokens cost. */
function costOf(batch: BatchStatusResult): string | undefined {
  const prices = serverInfo.value?.tokenPrices ?? [];
  const of = (name: string | undefined) => prices.find((price) => price.name === name);
  const price = of(text(batch.parameters?.model)) ?? of(batch.operation);
  if (price === undefined) return undefined;
  const { inputPerMillion, outputPerMillion, currency } = price;
  const amount = (Number(batch.inputTokens) * inputPerMillion + Number(batch.outputTokens) * outputPerMillion) / 1e6;
  return `${amount.toFixed(amount < 1 ? 4 : 2)} ${currency}`;
}

function begunAt(batch: BatchStatusResult): string {
  const parts = [`Submitted ${moment(batch.createdAt!)}`];
  if (batch.startedAt !== undefined) parts.push(`begun ${moment(batch.startedAt)}`);
  if (batch.completedAt !== undefined) parts.push(`ended ${moment(batch.completedAt)}`);
  return parts.join(", ");
}

function Speed({ batch, perSecond, now }: Props & { readonly now: number }): JSX.Element | null {
  if (isTerminal(batch)) return null;
  const end = batch.estimatedCompletionTime;
  return (
    <>
      {perSecond > 0 && ` · ${rate(perSecond)}`}
      {end !== undefined && ` · about ${duration(left(end, now))} left${within(batch, now)}`}
    </>
  );
}

function left(until: Timestamp, now: number): number {
  return Math.max(1000, milliseconds(until) - now);
}

/** Between which times the rest may be done, where they differ as they are written. */
function within({ completionRange: range }: BatchStatusResult, now: number): string {
  if (range?.earliest === undefined || range.latest === undefined) return "";
  const [least, most] = [duration(left(range.earliest, now)), duration(left(range.latest, now))];
  return least === most ? "" : ` (${least} to ${most})`;
}

interface FigureProps {
  readonly name: string;
  readonly tone?: string | undefined;
  readonly title?: string | undefined;
  readonly children: ComponentChildren;
}

function Figure({ name, tone, title, children }: FigureProps): JSX.Element {
  return (
    <div class={`figure ${tone ?? ""}`} title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Says each tenth of the way, and the end, to those who listen. */
function Spoken({ batch }: { readonly batch: BatchStatusResult }): JSX.Element {
  const [said, setSaid] = useState("");
  const tenth = useRef(-1);
  const reached = isTerminal(batch) ? 11 : Math.floor(batch.progressPercentage / 10);
  useEffect(() => {
    if (tenth.current >= 0 && reached !== tenth.current) {
      const failed = batch.failedItems > 0 ? `, ${count(batch.failedItems)} failed` : "";
      setSaid(
        `${count(batch.processedItems)} of ${items(batch.totalItems)} done${failed}.${reached === 11 ? " The batch has ended." : ""}`,
      );
    }
    tenth.current = reached;
  }, [reached]);
  return (
    <p class="visually-hidden" role="status">
      {said}
    </p>
  );
}
