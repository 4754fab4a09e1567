# Sourced by script/test and script/demo: makes the virtual environment that both use.
# shellcheck shell=bash
#
# `prepare` is all that they call. It sets
#   top    the checkout
#   venv   the virtual environment: $VAGGA_VENV, or .venv in the checkout
# and returns with the project installed in it (editable) together with its development tools. What was installed
# is written down in a stamp file, so that the next time costs two small processes.

top=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=${VAGGA_VENV:-$top/.venv}
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

prepare() {
  case $venv in /*) ;; *) venv=$PWD/$venv ;; esac
  case $venv in *[[:space:]]*) fail "'$venv' has a space, and #! lines cannot (set VAGGA_VENV to a path without)" ;; esac
  local lock
  exec {lock}<"$top/pyproject.toml"
  flock "$lock" # two runs at once: the second one finds the work done
  if [ "$(stamp)" != "$(cat "$venv/vaggapy-stamp" 2>/dev/null)" ]; then
    say "setting up $venv (about a minute, once)"
    find_python
    want_uidmap
    make_venv
    install_project
    stamp >"$venv/vaggapy-stamp"
  fi
  exec {lock}<&-
  command -v newuidmap >/dev/null ||
    say "newuidmap is missing, so containers have one user id only ($(by_hand uidmap) brings more)"
}

# What the environment depends on. An editable install copies the program `vagga`, so that counts too.
stamp() {
  printf 'made from %s by %s\n' "$top" "$("$venv/bin/python" -V 2>/dev/null)"
  (cd "$top" && sha256sum pyproject.toml script/setup.sh vaggapy/cli/vagga)
}

# Set `python` to the first Python that is new enough, the system's own first.
find_python() {
  command -v python3 >/dev/null || install_packages python3 || fail "there is no python3 ($(by_hand python3))"
  local candidate
  for candidate in /usr/bin/python3 python3.11 python3.12 python3.13 python3.14 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$(command -v "$candidate")
      has_venv || install_packages "$(venv_package)" || true
      has_venv || fail "$python cannot make virtual environments ($(by_hand "$(venv_package)"))"
      return
    fi
  done
  fail "$(python3 -V 2>&1) is too old, 3.11 or newer is needed ($(by_hand "$(newer_python)"))"
}

has_venv() { "$python" -c 'import venv; from ensurepip import version' 2>/dev/null; }

venv_package() {
  if [ "$python" = /usr/bin/python3 ]; then echo python3-venv; else echo "${python##*/}-venv"; fi
}

# The packages of the first newer Python that this distribution has, or of the oldest that would do.
newer_python() {
  local version
  for version in 3.11 3.12 3.13 3.14; do
    if apt-cache show "python$version-venv" >/dev/null 2>&1; then
      echo "python$version python$version-venv"
      return
    fi
  done
  echo "python3.11 python3.11-venv"
}

want_uidmap() {
  command -v newuidmap >/dev/null || install_packages uidmap || true # not fatal: `prepare` says what is missing
}

by_hand() {
  if command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
      echo "apt-get update && apt-get install -y $*"
    else
      echo "sudo apt-get update && sudo apt-get install -y $*"
    fi
  else
    echo "install what Debian calls $*"
  fi
}

# Install packages as root, by sudo without a password, or by sudo that may ask on the terminal; else return 1.
install_packages() {
  command -v apt-get >/dev/null || return 1
  local become=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || return 1
    if sudo -n true 2>/dev/null; then
      become=(sudo -n)
    elif [ -t 0 ] && [ -t 2 ]; then
      become=(sudo)
    else
      return 1
    fi
  fi
  say "installing $* by apt"
  local apt=("${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
  # The lists of a fresh machine are empty or old, those of others need no second download.
  quietly "${apt[@]}" install -y --no-install-recommends "$@" 2>/dev/null ||
    { quietly "${apt[@]}" update && quietly "${apt[@]}" install -y --no-install-recommends "$@"; }
}

# Run a command without its output; if it fails, show that on stderr.
quietly() {
  local output
  output=$("$@" 2>&1 </dev/null) || {
    printf '%s\n' "$output" >&2
    return 1
  }
}

make_venv() {
  if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
    fail "$venv is there and is no virtual environment (remove it, or set VAGGA_VENV to another place)"
  fi
  { mkdir -p "$venv" 2>/dev/null && [ -w "$venv" ]; } ||
    fail "cannot write $venv (set VAGGA_VENV to a directory of yours)"
  # One that was made by another Python, or at another place and then copied, is made anew.
  if [ "$("$venv/bin/python" -V 2>&1)" != "$("$python" -V)" ] ||
    ! head -n 1 "$venv/bin/pip" 2>/dev/null | grep -qF "$venv/bin/python"; then
    quietly "$python" -m venv --clear "$venv" || fail "cannot make $venv ($python -m venv failed, see above)"
  fi
}

install_project() {
  # pip reads [dependency-groups] from version 25.1 on; Debian 12 has 23.0.
  local tools
  mapfile -t tools < <("$venv/bin/python" -c '
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    print(*tomllib.load(file)["dependency-groups"]["dev"], sep="\n")' "$top/pyproject.toml")
  quietly "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -e "$top" "${tools[@]}" ||
    fail "cannot install the project and its tools into $venv (pip failed, see above; is the network there?)"
}
