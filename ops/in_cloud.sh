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
  # Before a command that is proposed: the shell that it is typed into has the user's own account.
  export SHELL_PREFIX="eval \"\$(make -s env)\" && "
  where="the stand-in cloud on this machine, $AWS_ENDPOINT_URL"
elif [ "${AWS_ACCESS_KEY_ID:-}" = stand-in ]; then
  echo "This shell points at the stand-in cloud (make env): open another one for ENV=$environment." >&2
  exit 1
else
  identity=$("$repository/.venv/bin/aws" sts get-caller-identity --query '[Account, Arn]' --output text 2>&1) || {
    echo "ENV=$environment is AWS, and your credentials do not get there: ${identity##*$'\n'}" >&2
    exit 1
  }
  read -r AWS_ACCOUNT_ID identity <<<"$identity"
  export AWS_ACCOUNT_ID
  # Before anything is asked of that account. Terraform asks too, but finds its state there first.
  allowed=$(sed -n 's/^allowed_account_ids *= *//p' "$repository/terraform/environments/$environment.tfvars")
  case "${allowed:-null}" in
    null* | *"\"$AWS_ACCOUNT_ID\""*) ;;
    *)
      echo "These credentials lead to the account $AWS_ACCOUNT_ID, and allowed_account_ids in terraform/environments/$environment.tfvars allows only $allowed: use those of that account." >&2
      exit 1
      ;;
  esac
  where="AWS, as $identity"
fi
[ -t 1 ] || export TF_CLI_ARGS=-no-color
[ -e "${TF_CLI_CONFIG_FILE:-/}" ] || unset TF_CLI_CONFIG_FILE # names a file that is not there
[ -n "${QUIET:-}" ] || echo "ENV=$environment: $where" >&2
exec "$@"
