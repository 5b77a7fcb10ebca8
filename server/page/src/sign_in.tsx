/** Asks for a token, once a tab. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";

import { signIn } from "./session";
import { Modal } from "./ui/modal";
import { Trouble } from "./ui/parts";

export function SignIn({ why }: { readonly why: string }): JSX.Element {
  const [given, setGiven] = useState("");
  const onSubmit = (event: Event) => {
    event.preventDefault();
    if (given.trim() !== "") signIn(given.trim());
  };
  return (
    <Modal label="Sign in" class="question sign-in">
      <form onSubmit={onSubmit}>
        <img src="icon.svg" alt="" width="40" height="40" />
        <h2>Sign in to Imagebatch</h2>
        <p>This server asks who calls. Paste the token that you were given.</p>
        <Trouble>{why === "" ? undefined : why}</Trouble>
        <label>
          Token
          <input
            type="password"
            autocomplete="off"
            spellcheck={false}
            autofocus
            value={given}
            onInput={(event) => setGiven(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="button primary solid" disabled={given.trim() === ""}>
          Continue
        </button>
        <p class="hint">
          It is kept in this tab alone, until you close it. Operators make tokens by{" "}
          <code>imagebatch token create</code>.
        </p>
      </form>
    </Modal>
  );
}
