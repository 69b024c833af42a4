#!/bin/sh
# Prints the path of a Chromium. CHROMIUM in the environment wins; where there is none, Debian's is
# installed if this is root's Debian. Otherwise says why not and exits with 1.
set -eu

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name"; then
        exit 0
    fi
done
if ! command -v apt-get >/dev/null; then
    echo "there is no chromium, and no apt-get to install it with" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "there is no chromium; to install it: sudo apt-get install chromium" >&2
    exit 1
fi
if ! { apt-get update && apt-get install --yes --no-install-recommends chromium; } >&2; then
    echo "apt-get could not install chromium" >&2
    exit 1
fi
command -v chromium
