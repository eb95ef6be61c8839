#!/usr/bin/env bash
# terraform init for one root: the provider from the registry where it answers, else from a mirror on this machine;
# the state from the bucket of the account that ops/in_cloud.sh found.
# usage: ops/terraform_init.sh ROOT [init arguments…]      TF_PLUGIN_MIRROR names a mirror of your own
set -euo pipefail

root=$1
shift
[ "${1:-}" = -backend=false ] || set -- "$@" -backend-config="bucket=terraform-state-$AWS_ACCOUNT_ID"
[ -e "${TF_CLI_CONFIG_FILE:-/}" ] || unset TF_CLI_CONFIG_FILE # names a file that is not there
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Terraform's plugin cache bears one writer at a time. Python, because macOS has no flock command.
if [ -n "${TF_PLUGIN_CACHE_DIR:-}" ]; then
  mkdir -p "$TF_PLUGIN_CACHE_DIR"
  exec 9>"$TF_PLUGIN_CACHE_DIR/lock"
  python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
fi

init() { terraform -chdir="$root" init -input=false -no-color -lockfile=readonly "$@" >"$log" 2>&1; }

mirrors() {
  local folder
  for folder in "${TF_PLUGIN_MIRROR:-}" "$HOME/.terraform.d/plugins" "${XDG_DATA_HOME:-$HOME/.local/share}/terraform/plugins" \
    /usr/local/share/terraform/plugins /usr/share/terraform/plugins /opt/*; do
    [ -d "$folder/registry.terraform.io/hashicorp/aws" ] && echo "$folder"
  done
}

if [ -z "${TF_PLUGIN_MIRROR:-}" ] && init "$@"; then exit 0; fi
while read -r mirror; do
  if init -plugin-dir="$mirror" "$@"; then exit 0; fi
done < <(mirrors)
if grep -q 'S3 bucket "[^"]*" does not exist' "$log"; then
  echo "The account $AWS_ACCOUNT_ID has no bucket for Terraform's state yet: run \`make bootstrap\` there once." >&2
  exit 1
fi
cat "$log" >&2
if grep -qE 'Failed to (install provider|query available provider)' "$log"; then
  echo "Terraform found its AWS provider neither in the registry nor in a mirror: connect to the network, or name a mirror in TF_PLUGIN_MIRROR." >&2
fi
exit 1
