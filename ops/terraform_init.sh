#!/usr/bin/env bash
# terraform init for one root: the provider from the registry where it answers, else from a mirror on this machine;
# the state from the bucket of the account that ops/in_cloud.sh found.
# usage: ops/terraform_init.sh ROOT [init arguments…]      TF_PLUGIN_MIRROR names a mirror of your own
set -euo pipefail

root=$1
shift
[ "${1:-}" = -backend=false ] || set -- "$@" -backend-config="bucket=terraform-state-$AWS_ACCOUNT_ID"
[ -e "${TF_CLI_CONFIG_FILE:-/}" ] || unset TF_CLI_CONFIG_FILE # names a file that is not there
cd "$root"

# An init asks the registry and reads the whole provider, seconds before every command. One that was done is not done
# again while the arguments and all files that it reads are the same, and the provider is where it was put.
inputs() {
  printf '%s\n' "$@"
  find . -name '*.tf' -o -name .terraform.lock.hcl | LC_ALL=C sort | xargs cat
  local argument
  for argument; do [ ! -f "${argument#-backend-config=}" ] || cat "${argument#-backend-config=}"; done
}
inputs=$(inputs "$@" | cksum)
data=${TF_DATA_DIR:-.terraform}
[ "$(cat "$data/initialised" 2>/dev/null)" != "$inputs" ] || ! compgen -G "$data/providers/*/*/*/*/*/*" >/dev/null || exit 0
rm -f "$data/initialised"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Terraform's plugin cache bears one writer at a time. Python, because macOS has no flock command.
if [ -n "${TF_PLUGIN_CACHE_DIR:-}" ]; then
  mkdir -p "$TF_PLUGIN_CACHE_DIR"
  exec 9>"$TF_PLUGIN_CACHE_DIR/lock"
  python3 -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
fi

init() {
  terraform init -input=false -no-color -lockfile=readonly "$@" >"$log" 2>&1 && echo "$inputs" >"$data/initialised"
}

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
