#!/usr/bin/env bash
# Plan one environment and keep what is worth showing, below build/plan/: `code` has Terraform's own verdict (0 nothing
# to do, 2 changes; anything else ends here), `comment.md` its words, which also go to the job's summary.
# usage: .github/plan.sh ENV [COMMIT]      at home: make plan ENV=local
#   COMMIT: what the tag Commit is to say; with that of the base branch, a pull request's plan shows its own changes only
#
# A plan shows values of the state. Ours hold no secret: no password is ever made here, the SSM parameters are plain
# lists of releases (insecure_value), and Terraform prints "(sensitive value)" for whatever is marked so.
set -euo pipefail

environment=$1
commit=${2:-}
out=build/plan
rm -rf "$out"
mkdir -p "$out"
make --no-print-directory plan ENV="$environment" CODE="$PWD/$out/code" ${commit:+COMMIT="$commit"} 2>&1 | tee "$out/output.txt"

case $(cat "$out/code") in
  0) verdict="no changes" ;;
  2) verdict=$(sed -n 's/^Plan: \(.*\)\.$/\1/p' "$out/output.txt" | tail -1) ;;
  *) exit 1 ;;
esac
{
  echo "<!-- terraform-plan -->" # by which the comment is found again
  echo "### Plan for $environment: ${verdict:-outputs only}"
  echo
  echo "<details><summary>Terraform says</summary>"
  echo
  echo "~~~~~~~~"
  # From its verdict on. GitHub takes comments of 65,536 characters.
  sed -n '/^Terraform used\|^No changes\|^Terraform will\|^Changes to Outputs/,$p' "$out/output.txt" | head -c 60000
  echo
  echo "~~~~~~~~"
  echo "</details>"
} >"$out/comment.md"
cat "$out/comment.md" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
