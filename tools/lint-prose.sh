#!/usr/bin/env bash
# Checks comments and pages for turns that read as translated: sentences that begin with a relative pronoun or a bare possessive, and a
# few phrases. A question may begin so.
set -euo pipefail
cd "$(dirname "$0")/.."

quote='["(*_`]*' question='(?![^.!]*\?)'
phrase='\b(of ours|of its own keeping|(is|are) none|there as well)\b'
failed=
# check MARK PATHSPEC...: looks at the text after MARK in these files.
check() {
  ! git grep --untracked -nP "$1($quote(Its|Those) |(.*[.!?:] )?$quote(Who|What|Whom|Whose|None) $question|.*$phrase)" -- \
    "${@:2}" ':!evidence/report' ':!bench/results' || failed=yes
}
check '(^|\s)//[/!]? ' '*.rs' '*.mjs'
check '(^|\s)#+ ' '*.sh' '*.toml' '*.yml' '*.yaml' Makefile '*Dockerfile*' .ci/run
check '(^|\| )[-*>0-9. ]*' '*.md'
[ -z "$failed" ] || { echo "lint-prose: begin these with their subject, and use the field's words" >&2; exit 1; }
