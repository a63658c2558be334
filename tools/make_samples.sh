#!/bin/sh
# Synthesises the page's samples, and the clip engines are tried with, from the texts beside them. Needs Debian's flite.
set -eu
cd "$(dirname "$0")/../src/frontend/page/public/samples"
command -v flite >/dev/null || { echo "flite is missing: apt-get install flite" >&2; exit 1; }
for voice in slt rms awb kal16; do
    flite -voice "$voice" -t "$(cat "$voice.txt")" -o "$voice.wav"
done
cd ../../../../agents/stt/trial
flite -voice slt -t "$(cat clip.txt)" -o clip.wav
