#!/usr/bin/env bash
# terraform in the main root. Where it stops at a lock, the last line says whose that is and what to do.
set -uo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Ctrl-C reaches what reads from terraform as well, and terraform must be able to go on writing while it saves its state.
run() { # in a pipeline, since a shell does not wait for what is behind >( )
  { terraform -chdir="$(dirname "$0")/../terraform" "$@" 2>&1 >&3 3>&- | tee -i "$log" >&2; } 3>&1
  return "${PIPESTATUS[0]}"
}
if [ "$1" = apply ]; then # and lists two dozen outputs, which go into a file
  run "$@" | (trap '' INT; awk '/^Outputs:$/ {done = 1} !done && !/without -compact-warnings/ {print; fflush()}')
  status=${PIPESTATUS[0]}
else
  run "$@"
  status=$?
fi
if [ "$status" -ne 0 ] && grep -q 'Error acquiring the state lock' "$log"; then
  field() { sed -n $'s/\e\\[[0-9;]*m//g\n'"s/^[^A-Za-z]*$1: *//p" "$log"; } # in a terminal it is coloured
  echo "The state is locked by $(field Who) since $(field Created): wait for that run; only if it is dead, \`make unlock ENV=$ENV LOCK=$(field ID)\`." >&2
fi
if [ "$status" -ne 0 ] && [ "$1" = force-unlock ] && grep -q NoSuchKey "$log"; then
  echo "The state is not locked: nothing needs to be freed." >&2
fi
exit "$status"
