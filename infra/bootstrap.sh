#!/usr/bin/env bash
# Installs what the project needs beside Python 3.11, git and make: uv, the locked
# environment, Java 17+ when there is none, Spark's jars, a broker for tests. Safe to run again: quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
unset PYTHONDONTWRITEBYTECODE

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"
  else return 1; fi
}

# apt_install PACKAGE...: installs, or fails where we may not.
apt_install() {
  command -v apt-get >/dev/null || return 1
  as_root env DEBIAN_FRONTEND=noninteractive bash -c \
    'apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"' _ "$@" >/dev/null
}

find_python() {
  local candidate
  for candidate in python3.11 python3; do
    if command -v "$candidate" >/dev/null &&
       "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      command -v "$candidate"; return
    fi
  done
  return 1
}

install_uv() {
  [ -x .tools/bin/uv ] && return
  mkdir -p .tools/bin
  if command -v uv >/dev/null; then ln -sf "$(command -v uv)" .tools/bin/uv; return; fi
  say "installing uv"
  if ! "$python" -m venv .tools/venv >/dev/null 2>&1; then
    rm -rf .tools/venv
    apt_install python3.11-venv || stop "Python cannot make a virtual environment. Install Debian's package python3.11-venv and run this again."
    "$python" -m venv .tools/venv
  fi
  .tools/venv/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
  ln -sf ../venv/bin/uv .tools/bin/uv
}

java_version() {
  local java="${JAVA_HOME:+$JAVA_HOME/bin/}java"
  "$java" -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -n 1
}

install_java() {
  local version
  version="$(java_version || true)"
  [ "${version:-0}" -ge 17 ] && return
  say "no Java 17 or newer found; installing openjdk-17-jre-headless"
  apt_install openjdk-17-jre-headless ||
    stop "Spark needs Java 17 or newer, and this account may not install it. Install a JRE (Debian: openjdk-17-jre-headless) or point JAVA_HOME at one, then run this again."
}

# The machine's own certificates, where it has some: a company's proxy is signed by one of those.
if [ -s /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"; fi

python="$(find_python)" || stop "Python 3.11 was not found. Install Debian's package python3.11 and run this again."
install_uv
install_java
if ! cmp -s uv.lock .tools/synced.lock || ! cmp -s pyproject.toml .tools/synced.toml || [ ! -x .venv/bin/python ]; then
  say "installing the locked environment (some minutes the first time)"
  .tools/bin/uv sync --locked --quiet --python "$python" \
    --extra orchestration --extra serving --extra explainer --extra tracing --extra console --extra kafka
  cp uv.lock .tools/synced.lock; cp pyproject.toml .tools/synced.toml
fi
.venv/bin/python -m spark_jobs.jars
.venv/bin/python tests/support/kafka_broker.py  # for its tests
.venv/bin/python -m stores.merging || say "online values will be merged in Python: correct, and slower"
