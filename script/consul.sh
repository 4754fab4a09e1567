# Sourced by script/test: a Consul server for the tests, in the virtual environment, fetched once.
# shellcheck shell=bash disable=SC2154
#
# Needs script/setup.sh, with `top` and `venv` set.
#
# `want_consul` unpacks the package of Debian bullseye, the last release that has one, into $venv/consul. apt has a
# configuration and lists of its own there for this, nothing is installed, and no other user is needed. What comes is
# checked by Debian's keys. Without apt, keys or network it says so, and tests that need the server are skipped;
# with VAGGA_MUST_WORK=1 that is a failure.

consul_keys=/usr/share/keyrings/debian-archive-keyring.gpg

want_consul() {
  [ ! -x "$venv/consul/usr/bin/consul" ] || return 0
  local lock
  exec {lock}<"$top/script/consul.sh"
  flock "$lock" # as in `prepare`
  if [ ! -x "$venv/consul/usr/bin/consul" ]; then
    say "fetching a Consul server into $venv/consul (22 MB, once)"
    local reason
    if ! reason=$(fetch_consul 2>&1); then
      [ "${VAGGA_MUST_WORK-}" != 1 ] || fail "no Consul server: $reason"
      say "no Consul server, its tests are skipped: $reason"
    fi
  fi
  exec {lock}<&-
}

fetch_consul() (
  for program in apt-get apt-config dpkg; do
    command -v "$program" >/dev/null || { echo "$program is missing"; exit 1; }
  done
  [ -e "$consul_keys" ] || { echo "$consul_keys is missing ($(by_hand debian-archive-keyring))"; exit 1; }
  work=$(mktemp -d "$venv/consul.XXXXXXXX")
  trap 'rm -rf -- "$work"' EXIT
  mkdir -p "$work"/{etc/preferences.d,lists/partial,cache/archives/partial,root}
  for mirror in $(debian_mirrors); do
    echo "deb [signed-by=$consul_keys] $mirror bullseye main" >"$work/etc/sources.list"
    if said=$(cd "$work" && export APT_CONFIG="$work/apt.conf" && private_apt_conf "$work" >apt.conf &&
      apt-get -qq update 2>&1 && apt-get -qq download consul 2>&1 && dpkg -x consul_*.deb root 2>&1); then
      rm -rf -- "$venv/consul"
      mv -- "$work/root" "$venv/consul"
      exit 0
    fi
  done
  printf '%s\n' "${said##*$'\n'}"
  exit 1
)

# The mirrors of Debian that this machine uses, then those that everybody can use.
debian_mirrors() {
  {
    # shellcheck disable=SC2016 # apt replaces it
    apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -E '/debian/?$' | head -n 1
    echo http://deb.debian.org/debian
    echo http://archive.debian.org/debian
  } | sed 's,/*$,,' | awk '!seen[$0]++'
}

# A configuration of apt that keeps everything below a directory; of the machine's own only how to reach mirrors.
private_apt_conf() {
  cat <<CONF
Dir::Etc "$1/etc";
Dir::Etc::Main "-";
Dir::Etc::Parts "-";
Dir::Etc::SourceList "$1/etc/sources.list";
Dir::Etc::SourceParts "-";
Dir::State "$1";
Dir::State::Lists "$1/lists";
Dir::State::Status "/dev/null";
Dir::Cache "$1/cache";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Architectures { "$(dpkg --print-architecture)"; };
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
CONF
  env -u APT_CONFIG apt-config dump | grep -E '^Acquire::(https?|ftp)::' | grep -v '::Timeout ' || true
}
