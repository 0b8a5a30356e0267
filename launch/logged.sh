#!/usr/bin/env bash
# launch/logged.sh STAMP LOG COMMAND ...: run a command with what it prints in the file LOG, and make
# the file STAMP if it ends well; otherwise show its last line. For launch/reproduce.mk.
set -euo pipefail
stamp=$1 log=$2
shift 2
mkdir -p "$(dirname "$stamp")" "$(dirname "$log")"
"$@" >"$log" 2>&1 </dev/null &
child=$!
trap 'kill -TERM "$child" 2>/dev/null || true' TERM INT
code=0
wait "$child" || code=$?
# A signal ends `wait` before the command has ended.
while kill -0 "$child" 2>/dev/null; do
  code=0
  wait "$child" || code=$?
done
if [ "$code" -ne 0 ]; then
  echo "error: ${log%.log}: $(tail -n 1 "$log") (all of it: $log)" >&2
  exit "$code"
fi
echo "${log%.log}: $SECONDS s"
touch "$stamp"
