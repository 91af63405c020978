#!/usr/bin/env bash
# Makes the bundled demo and test content out of test patterns and tones, nothing else.
#
# Needs ffmpeg (with libx264 and libmp3lame) and python3; writes beside this script, or into the
# directory given. The same ffmpeg on the same kind of CPU gives the same bytes on every run.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here}"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# No version strings, no dates, one thread, C code paths: nothing that varies from run to run.
exact=(-map_metadata -1 -fflags +bitexact -flags:v +bitexact -flags:a +bitexact -threads 1)
make() { ffmpeg -hide_banner -loglevel error -nostdin -y -cpuflags 0 -filter_threads 1 "$@"; }
patch() { python3 "$here/patch_asf.py" "$@"; }

video() { echo "testsrc2=size=$1:rate=$2:duration=$3"; }
audio() { echo "aevalsrc=0.2*sin(880*PI*t)*(1+0.5*sin(4*PI*t))|0.2*sin(1108*PI*t):s=44100:d=$1"; }

# A key frame every N frames and nowhere else.
wmv2() { echo "-c:v wmv2 -g $1 -sc_threshold 1000000000"; }

# clip.wmv: the everyday file. Video with a key frame every 2 s, audio, title and author.
make -f lavfi -i "$(video 320x240 15 8)" -f lavfi -i "$(audio 8)" -map 0 -map 1 \
    $(wmv2 30) -b:v 180k -c:a wmav2 -b:a 48k "${exact[@]}" \
    -metadata title="Ringcast clip" -metadata author="Ringcast" -f asf "$work/clip.wmv"
patch "$work/clip.wmv" clip.wmv --bitrates 230000,48000

# audio.wma: one audio stream and no video, so no key frames and no index.
make -f lavfi -i "$(audio 6)" -c:a wmav2 -b:a 48k "${exact[@]}" \
    -metadata title="Ringcast audio" -f asf "$work/audio.wma"
patch "$work/audio.wma" audio.wma --bitrates 48000

# mbr.wmv: one picture at three bit rates (streams 1 to 3, mutually exclusive) and one audio (4).
# The sizes differ, so a decoder tells which one it got.
make -f lavfi -i "$(video 320x240 10 6)" -f lavfi -i "$(audio 6)" -filter_complex \
    "[0:v]split=3[a][b][c];[a]scale=96x72[v0];[b]scale=160x120[v1];[c]scale=240x180[v2]" \
    -map '[v0]' -map '[v1]' -map '[v2]' -map 1:a $(wmv2 20) -b:v:0 30k -b:v:1 60k -b:v:2 110k \
    -c:a wmav2 -b:a 32k "${exact[@]}" -metadata title="Ringcast bit rates" -f asf "$work/mbr.wmv"
patch "$work/mbr.wmv" mbr.wmv --bitrates 40000,80000,130000,32000 --exclude 1,2,3

# modern.asf: H.264 and AAC carried in ASF, a key frame each second.
make -f lavfi -i "$(video 320x240 15 4)" -f lavfi -i "$(audio 4)" -map 0 -map 1 \
    -c:v libx264 -profile:v main -preset medium -b:v 120k -g 15 -bf 0 -sc_threshold 0 -pix_fmt yuv420p \
    -c:a aac -b:a 48k "${exact[@]}" -metadata title="Ringcast modern" -f asf "$work/modern.asf"
patch "$work/modern.asf" modern.asf --bitrates 130000,48000

# mp3.asf: MP3 in ASF.
make -f lavfi -i "$(audio 4)" -c:a libmp3lame -b:a 48k "${exact[@]}" \
    -metadata title="Ringcast mp3" -f asf "$work/mp3.asf"
patch "$work/mp3.asf" mp3.asf --bitrates 48000

# captions.wmv: markers (ffmpeg writes chapters so) and script commands (patched in).
cat > "$work/chapters" <<'META'
;FFMETADATA1
title=Ringcast captions
[CHAPTER]
TIMEBASE=1/1000
START=0
END=2000
title=Start
[CHAPTER]
TIMEBASE=1/1000
START=2000
END=4000
title=Middle
META
make -f lavfi -i "$(video 160x120 10 4)" -f lavfi -i "$(audio 4)" -i "$work/chapters" -map 0 -map 1 \
    -map_chapters 2 -metadata title="Ringcast captions" $(wmv2 20) -b:v 50k -c:a wmav2 -b:a 32k \
    "${exact[@]:2}" -f asf "$work/captions.wmv"
patch "$work/captions.wmv" captions.wmv --bitrates 60000,32000 \
    --script "500:TEXT:First caption" --script "2500:TEXT:Second caption" \
    --script "3500:URL:http://example.invalid/page"

# protected.wmv: looks like rights-managed content (Content Encryption and Extended Content
# Encryption objects, encrypted streams) with payloads scrambled by a fixed keystream. Nobody can
# decode it, no licence exists: it shows that protected bytes pass untouched.
make -f lavfi -i "$(video 160x120 10 4)" -f lavfi -i "$(audio 4)" -map 0 -map 1 $(wmv2 20) -b:v 50k \
    -c:a wmav2 -b:a 32k "${exact[@]}" -metadata title="Ringcast protected" -f asf "$work/protected.wmv"
patch "$work/protected.wmv" protected.wmv --bitrates 60000,32000 --protect
