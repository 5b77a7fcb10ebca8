/** The page: what stands around each view, and which one is shown. */

import { useSignalEffect } from "@preact/signals";
import { type JSX, render } from "preact";
import { useEffect, useState } from "preact/hooks";

import { explained, getToKnow, has, serverInfo } from "./api";
import { BatchView } from "./batch/view";
import { BatchesView } from "./batches";
import { link, replace, route } from "./route";
import { actFor, refusal, signOut, tenant, token } from "./session";
import { SubmitView } from "./submit/view";
import { Icon } from "./ui/icons";
import { Trouble } from "./ui/parts";
import { SignIn } from "./sign_in";
import { UsageView } from "./usage";

import "./style/base.css";
import "./style/parts.css";
import "./style/batches.css";
import "./style/batch.css";
import "./style/item.css";
import "./style/forms.css";

function Page(): JSX.Element {
  const trouble = useServer();
  const who = `${token.value} ${tenant.value}`;
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}
      >
        Skip to the content
      </a>
      <Top />
      <main id="main" tabIndex={-1} key={who}>
        <Trouble>{trouble}</Trouble>
        {serverInfo.value !== undefined && refusal.value === undefined && <View />}
      </main>
      {refusal.value !== undefined && <SignIn why={refusal.value} />}
    </>
  );
}

/** Get to know the server as each caller, until it answers; answers what keeps it from that. */
function useServer(): string | undefined {
  const [trouble, setTrouble] = useState<string>();
  useSignalEffect(() => {
    void token.value;
    void tenant.value;
    const stopping = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      try {
        await getToKnow(stopping.signal);
        setTrouble(undefined);
      } catch (error) {
        if (stopping.signal.aborted || refusal.peek() !== undefined) return;
        setTrouble(explained(error));
        timer = setTimeout(ask, 2_000);
      }
    };
    void ask();
    return () => {
      clearTimeout(timer);
      stopping.abort();
    };
  });
  return refusal.value === undefined ? trouble : undefined;
}

function View(): JSX.Element {
  const [name = "batches", batchId] = route.value.path;
  useEffect(() => {
    if (batchId === undefined) scrollTo(0, 0);
  }, [name, batchId]);
  if (name === "new") return <SubmitView />;
  if (name === "usage") return <UsageView />;
  if (name === "batches" && batchId !== undefined) return <BatchView batchId={batchId} key={batchId} />;
  return <BatchesView />;
}

function Top(): JSX.Element {
  const [name = "batches"] = route.value.path;
  const to = (path: string, title: string) => (
    <a href={link([path])} aria-current={name === path ? "page" : undefined}>
      {title}
    </a>
  );
  return (
    <header class="top">
      <a class="brand" href={link(["batches"])} aria-label="Imagebatch, all batches">
        <img src="icon.svg" alt="" width="24" height="24" />
        <span>Imagebatch</span>
      </a>
      <nav aria-label="Main">
        {to("batches", "Batches")}
        {to("new", "New batch")}
        {has("get_usage") && to("usage", "Usage")}
      </nav>
      <div class="who">
        {tenant.value !== "" && (
          <button
            type="button"
            class="chip"
            aria-label={`Acting for ${tenant.value}: stop`}
            onClick={() => stopActing()}
          >
            <bdi>{tenant.value}</bdi>
            <Icon name="close" />
          </button>
        )}
        {token.value !== "" && (
          <button type="button" class="button quiet" onClick={signOut}>
            Sign out
          </button>
        )}
      </div>
    </header>
  );
}

function stopActing(): void {
  actFor("");
  replace(link(["batches"]));
}

render(<Page />, document.getElementById("page")!);
