#!/usr/bin/env bash
# Run a command against one environment, and with nothing else within its reach.
# usage: ops/in_cloud.sh ENV COMMAND…      QUIET=1 leaves out the line that says which cloud it is
set -euo pipefail

environment=$1
shift
repository=$(cd "$(dirname "$0")/.." && pwd)
if [ "$environment" = local ]; then
  variables=$("$repository/.venv/bin/python" -m local_aws env)
  eval "$variables"
  where="the stand-in cloud on this machine, $AWS_ENDPOINT_URL"
else
  where="AWS, with the credentials of ${AWS_PROFILE:-your default profile}"
fi
[ -t 1 ] || export TF_CLI_ARGS=-no-color
[ -e "${TF_CLI_CONFIG_FILE:-/}" ] || unset TF_CLI_CONFIG_FILE # names a file that is not there
[ -n "${QUIET:-}" ] || echo "ENV=$environment: $where" >&2
exec "$@"
