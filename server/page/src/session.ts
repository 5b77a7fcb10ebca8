/** Who calls: a token, and for operators the tenant that they act for. Both last as long as the browser's tab. */

import { signal } from "@preact/signals";

const TOKEN = "imagebatch.token";
const TENANT = "imagebatch.tenant";

/** The token that goes with each call; empty where none was needed yet. */
export const token = signal(sessionStorage.getItem(TOKEN) ?? "");

/** The tenant that an operator acts for; empty for one's own. */
export const tenant = signal(sessionStorage.getItem(TENANT) ?? "");

/** Why a token is asked for, in the server's words; undefined while none is. */
export const refusal = signal<string | undefined>(undefined);

export function signIn(given: string): void {
  keep(TOKEN, given);
  token.value = given;
  refusal.value = undefined;
}

export function signOut(): void {
  keep(TOKEN, "");
  actFor("");
  token.value = "";
  refusal.value = "";
}

export function actFor(name: string): void {
  keep(TENANT, name);
  tenant.value = name;
}

function keep(key: string, value: string): void {
  if (value === "") sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, value);
}
