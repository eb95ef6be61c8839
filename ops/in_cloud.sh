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
elif [ "${AWS_ACCESS_KEY_ID:-}" = stand-in ]; then
  echo "This shell points at the stand-in cloud (make env): open another one for ENV=$environment." >&2
  exit 1
elif [ -z "${QUIET:-}" ]; then
  identity=$("$repository/.venv/bin/aws" sts get-caller-identity --query Arn --output text 2>&1) || {
    echo "ENV=$environment is AWS, and your credentials do not get there: ${identity##*$'\n'}" >&2
    exit 1
  }
  where="AWS, as $identity"
fi
[ -t 1 ] || export TF_CLI_ARGS=-no-color
[ -e "${TF_CLI_CONFIG_FILE:-/}" ] || unset TF_CLI_CONFIG_FILE # names a file that is not there
[ -n "${QUIET:-}" ] || echo "ENV=$environment: $where" >&2
exec "$@"
