# Sourced by up, down and env: where LocalStack's parts lie, and what is known of the one that runs.
# shellcheck shell=bash disable=SC2034

# Physical, as the kernel tells paths: the marks of processes are compared with it.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/stagger"
port="${STAGGER_LOCALSTACK_PORT:-4566}"
url="http://127.0.0.1:$port"
bucket="${STAGGER_BUCKET:-stagger}"
state="${STAGGER_LOCALSTACK_DIR:-$cache/localstack-state/$port}"
server_program=localstack/server.py

fail() {
  printf 'localstack: %s\n' "$1" >&2
  exit "${2:-1}"
}

# A word on long steps, for people only: scripts get the one line that says where LocalStack is.
note() {
  if [[ -t 2 ]]; then printf 'localstack: %s\n' "$1" >&2; fi
}

hash_of() { sha256sum | cut -c 1-12; }

# The process id of the server that this state folder belongs to; nothing if there is none.
recorded_pid() { cat "$state/pid" 2>/dev/null || true; }

# Whether that server runs. Its command line is looked at, since process ids are used again.
server_runs() {
  local pid
  pid="$(recorded_pid)"
  [[ -n "$pid" ]] && ps -o args= -p "$pid" 2>/dev/null | grep -qF "$server_program"
}

# The server and the functions that it runs: everything in its session.
members() { ps -o pid= -s "$1" 2>/dev/null || true; }

# Whether another program has got the id since; then there is nothing left to stop. A server that is dead may still have
# functions that run.
is_another_program() {
  local args
  args="$(ps -o args= -p "$1" 2>/dev/null || true)"
  [[ -n "$args" && "$args" != *"$server_program"* && "$args" != *'<defunct>'* ]]
}

signal() {
  local pid
  for pid in $(members "$2"); do kill "-$1" "$pid" 2>/dev/null || true; done
}
