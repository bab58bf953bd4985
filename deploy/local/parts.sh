# What `test` and `test-stack` share: parts that are run one after another, things that a machine may lack, and what is told of both at
# the end. Sourced after common.sh, never run.
parts=() failed=() missing=()

part() { # NAME COMMAND…
  local begun=$SECONDS name=$1
  shift
  say "$name"
  if "$@"; then parts+=("$(printf '%5d s  ok      %s' $((SECONDS - begun)) "$name")"); return; fi
  parts+=("$(printf '%5d s  FAILED  %s' $((SECONDS - begun)) "$name")")
  failed+=("$name")
}

# The same of what a machine may lack: WHAT COMMAND… ; whether it is there now. With CI=true nothing may be missing.
have() {
  local before=${#failed[@]} what=$1
  part "$@"
  [ ${#failed[@]} -gt "$before" ] || return 0
  if [ "${CI:-}" != true ]; then
    unset 'failed[-1]'
    parts[-1]=${parts[-1]/FAILED /not had}
  fi
  missing+=("$what")
  return 1
}

tell_parts() {
  echo
  [ ${#parts[@]} -eq 0 ] || printf '%s\n' "${parts[@]}"
}

# Last: what was not run, and what failed; fails where something did.
tell_end() {
  local what
  [ ${#missing[@]} -eq 0 ] || for what in "${missing[@]}"; do echo "not run, for want of it: $what" >&2; done
  [ ${#failed[@]} -eq 0 ] || { printf 'failed: %s\n' "${failed[@]}" >&2; return 1; }
}
