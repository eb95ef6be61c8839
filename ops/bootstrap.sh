#!/usr/bin/env bash
# Give an account what every environment stands on: the bucket for Terraform's state and, where account.tfvars names a
# repository, the roles for GitHub. May be run again at any time.
# usage: ops/in_cloud.sh ENV ops/bootstrap.sh ENV
set -euo pipefail

root=terraform/bootstrap
backend=$1.s3.tfbackend
project=$(sed -n 's/^key *= *"\([^/]*\)\/.*/\1/p' "terraform/environments/$backend")
region=$(sed -n 's/^region *= *"\(.*\)"/\1/p' "terraform/environments/$backend")
bucket=terraform-state-$AWS_ACCOUNT_ID
aws=.venv/bin/aws
approve=
[ "${CONFIRM:-}" != yes ] || approve=-auto-approve
emulated=false
[ "$1" != local ] || emulated=true
variables=(-var-file=account.tfvars "-var=project=$project" "-var=region=$region" "-var=emulated=$emulated")

# Terraform needs the bucket before it can make one: it comes empty, and is imported below. us-east-1 is no location.
if ! $aws s3api head-bucket --bucket "$bucket" >/dev/null 2>&1; then
  location=()
  [ "$region" = us-east-1 ] || location=(--create-bucket-configuration "LocationConstraint=$region")
  $aws s3api create-bucket --bucket "$bucket" --region "$region" "${location[@]}" >/dev/null
fi
ops/terraform_init.sh "$root" -backend-config="../environments/$backend" -backend-config="key=$project/bootstrap.tfstate"
if ! terraform -chdir="$root" state list 2>/dev/null | grep -qx aws_s3_bucket.state; then
  terraform -chdir="$root" import -input=false "${variables[@]}" aws_s3_bucket.state "$bucket"
fi
terraform -chdir="$root" apply "${variables[@]}" ${approve}
