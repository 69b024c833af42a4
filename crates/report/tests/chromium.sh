#!/bin/sh
# Prints the path of a Chromium: CHROMIUM in the environment, or one on the PATH. If there is none, root
# on Debian gets Debian's package installed. Otherwise the script prints the reason and exits with 1.
set -eu

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [ -n "$name" ] && command -v "$name"; then
        exit 0
    fi
done
if ! command -v apt-get >/dev/null; then
    echo "there is neither chromium nor apt-get to install it; set CHROMIUM to its path" >&2
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
