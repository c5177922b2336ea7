#!/usr/bin/env bash
# Installs the Debian packages that the tests use, where one is missing and we are root; else says what to install.
# Pairs given as arguments are wanted besides.
set -euo pipefail
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# package:command, a pair a line
wanted="
ffmpeg:ffmpeg
mosquitto:mosquitto
mosquitto-clients:mosquitto_pub
openssl:openssl
wireguard-go:wireguard-go
wireguard-tools:wg
iproute2:ip
nftables:nft
chromium:chromium
chromium-driver:chromedriver
sqlite3:sqlite3
tcpdump:tcpdump
procps:ps
systemd:systemd-analyze
strace:strace
"

missing=()
for pair in $wanted "$@"; do
  command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "Some tests will be skipped; for all of them: sudo apt-get install ${missing[*]}" >&2
  exit 0
fi

install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; }
echo "Installing what the tests use: ${missing[*]}" >&2
install 2>/dev/null || { apt-get update -qq && install; }
