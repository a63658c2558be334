#!/bin/sh
# Synthesises the sample speech from the texts beside it. Needs Debian's flite.
set -eu
cd "$(dirname "$0")/../src/frontend/page/public/samples"
command -v flite >/dev/null || { echo "flite is missing: apt-get install flite" >&2; exit 1; }
for voice in slt rms awb kal16; do
    flite -voice "$voice" -t "$(cat "$voice.txt")" -o "$voice.wav"
done
